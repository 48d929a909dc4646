/* Images: code that runs wherever it lies. What of an object file is code or constants is laid out in one
 * piece and its references are resolved, once, when it is made; loading it is a copy.
 *
 * Invariants: nothing in an image holds an address, so references can only be relative, within it; an object
 * that wants a symbol from anywhere else is refused. Memory is writable or executable, never both. Objects
 * come from the code generator, images from the cache too, which proves that we wrote them. May not know:
 * LLVM, what a kernel is. */
#include "jit.h"

#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef struct image_header {
    uint64_t entry; /* where the function begins, from the image's start */
} image_header;

enum { ALIGN = LVT_IMAGE_ALIGN };

typedef struct elf {
    const unsigned char *data;
    size_t size;
    const Elf64_Shdr *sections;
    uint64_t *at; /* by section: where it lies in the image; 0: it is left out */
    uint16_t n;
    unsigned char *image;
    size_t image_size;
    const char *why;
} elf;

static bool within(const elf *f, uint64_t offset, uint64_t size) {
    return offset <= f->size && size <= f->size - offset;
}

static bool refuse(elf *f, const char *why) {
    if (!f->why)
        f->why = why;
    return false;
}

/* Unwinding is not needed: nothing throws through a kernel. */
static bool is_loaded(const Elf64_Shdr *s) {
    return (s->sh_flags & SHF_ALLOC) && s->sh_type == SHT_PROGBITS && s->sh_size;
}

static bool read_sections(elf *f) {
    const Elf64_Ehdr *h = (const void *)f->data;
    if (f->size < sizeof *h || memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 ||
        h->e_ident[EI_CLASS] != ELFCLASS64 || h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != ET_REL ||
        h->e_shentsize != sizeof(Elf64_Shdr) || h->e_shoff % 8 ||
        !within(f, h->e_shoff, (uint64_t)h->e_shnum * sizeof(Elf64_Shdr)))
        return refuse(f, "not a 64-bit object file");
    f->n = h->e_shnum;
    f->sections = (const void *)(f->data + h->e_shoff);
    f->at = calloc(f->n + (size_t)1, sizeof *f->at);
    if (!f->at)
        return false;
    uint64_t end = ALIGN;
    for (uint16_t i = 0; i < f->n; i++) {
        const Elf64_Shdr *s = &f->sections[i];
        if (s->sh_type != SHT_NOBITS && !within(f, s->sh_offset, s->sh_size))
            return refuse(f, "a section lies outside of the object");
        if ((s->sh_flags & SHF_ALLOC) && (s->sh_flags & SHF_WRITE) && s->sh_size)
            return refuse(f, "it has data of its own");
        if (!is_loaded(s))
            continue;
        if (s->sh_addralign > ALIGN || s->sh_size > LVT_IMAGE_MOST)
            return refuse(f, "a section is too large");
        end = (end + ALIGN - 1) / ALIGN * ALIGN;
        f->at[i] = end;
        end += s->sh_size;
    }
    f->image_size = (end + ALIGN - 1) / ALIGN * ALIGN;
    if (f->image_size > LVT_IMAGE_MOST)
        return refuse(f, "it is too large");
    f->image = calloc(1, f->image_size);
    for (uint16_t i = 0; f->image && i < f->n; i++) {
        if (f->at[i])
            memcpy(f->image + f->at[i], f->data + f->sections[i].sh_offset, f->sections[i].sh_size);
    }
    return f->image != NULL;
}

/* Where a symbol lies in the image. */
static bool symbol_at(elf *f, const Elf64_Shdr *table, uint64_t index, const Elf64_Sym **symbol,
                      uint64_t *at) {
    if (index >= table->sh_size / sizeof **symbol || table->sh_offset % 8)
        return refuse(f, "a reference to no symbol");
    const Elf64_Sym *s = (const Elf64_Sym *)(const void *)(f->data + table->sh_offset) + index;
    *symbol = s;
    if (s->st_shndx == SHN_UNDEF || s->st_shndx >= f->n || !f->at[s->st_shndx])
        return refuse(f, "it refers to a symbol it does not define");
    *at = f->at[s->st_shndx] + s->st_value;
    return true;
}

static void put32(unsigned char *p, uint32_t x) {
    memcpy(p, &x, sizeof x);
}
static uint32_t get32(const unsigned char *p) {
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Resolves one reference: `place` is where it stands in the image, `to` what it is to. */
static bool resolve(elf *f, uint16_t machine, uint32_t type, uint64_t place, int64_t to) {
    unsigned char *p = f->image + place;
    int64_t distance = to - (int64_t)place, pages = (to >> 12) - ((int64_t)place >> 12);
    if (machine == EM_X86_64 && (type == R_X86_64_PC32 || type == R_X86_64_PLT32)) {
        put32(p, (uint32_t)distance);
        return true;
    }
    if (machine != EM_AARCH64)
        return refuse(f, "a kind of reference that is not relative");
    uint32_t word = get32(p), low = (uint32_t)(to & 0xfff);
    switch (type) {
    case R_AARCH64_CALL26:
    case R_AARCH64_JUMP26:
        put32(p, (word & 0xfc000000u) | ((uint32_t)(distance >> 2) & 0x3ffffffu));
        return true;
    case R_AARCH64_PREL32:
        put32(p, (uint32_t)distance);
        return true;
    case R_AARCH64_ADR_PREL_PG_HI21: /* images begin at pages there, see lvt_code_map */
        put32(p,
              (word & 0x9f00001fu) | ((uint32_t)pages & 3) << 29 | ((uint32_t)(pages >> 2) & 0x7ffffu) << 5);
        return true;
    case R_AARCH64_ADD_ABS_LO12_NC:
    case R_AARCH64_LDST8_ABS_LO12_NC:
        put32(p, word | low << 10);
        return true;
    case R_AARCH64_LDST16_ABS_LO12_NC:
        put32(p, word | (low >> 1) << 10);
        return true;
    case R_AARCH64_LDST32_ABS_LO12_NC:
        put32(p, word | (low >> 2) << 10);
        return true;
    case R_AARCH64_LDST64_ABS_LO12_NC:
        put32(p, word | (low >> 3) << 10);
        return true;
    case R_AARCH64_LDST128_ABS_LO12_NC:
        put32(p, word | (low >> 4) << 10);
        return true;
    default:
        return refuse(f, "a kind of reference that is not relative");
    }
}

static bool relocate(elf *f) {
    uint16_t machine = ((const Elf64_Ehdr *)(const void *)f->data)->e_machine;
    for (uint16_t i = 0; i < f->n; i++) {
        const Elf64_Shdr *s = &f->sections[i];
        if ((s->sh_type != SHT_RELA && s->sh_type != SHT_REL) || s->sh_info >= f->n || !f->at[s->sh_info])
            continue;
        if (s->sh_type == SHT_REL || s->sh_link >= f->n || s->sh_offset % 8)
            return refuse(f, "references in an unknown form");
        const Elf64_Rela *r = (const void *)(f->data + s->sh_offset);
        for (uint64_t k = 0; k < s->sh_size / sizeof *r; k++) {
            const Elf64_Sym *symbol;
            uint64_t at, size = f->sections[s->sh_info].sh_size;
            if (!symbol_at(f, &f->sections[s->sh_link], ELF64_R_SYM(r[k].r_info), &symbol, &at))
                return false;
            if (size < 4 || r[k].r_offset > size - 4)
                return refuse(f, "a reference outside of its section");
            if (!resolve(f, machine, (uint32_t)ELF64_R_TYPE(r[k].r_info), f->at[s->sh_info] + r[k].r_offset,
                         (int64_t)at + r[k].r_addend))
                return false;
        }
    }
    return true;
}

static bool find_entry(elf *f, const char *name) {
    for (uint16_t i = 0; i < f->n; i++) {
        const Elf64_Shdr *s = &f->sections[i];
        if (s->sh_type != SHT_SYMTAB || s->sh_link >= f->n)
            continue;
        const Elf64_Shdr *strings = &f->sections[s->sh_link];
        for (uint64_t k = 1; k < s->sh_size / sizeof(Elf64_Sym); k++) {
            const Elf64_Sym *symbol = (const Elf64_Sym *)(const void *)(f->data + s->sh_offset) + k;
            size_t room = symbol->st_name < strings->sh_size ? strings->sh_size - symbol->st_name : 0;
            if (ELF64_ST_TYPE(symbol->st_info) != STT_FUNC || room <= strlen(name) ||
                memcmp(f->data + strings->sh_offset + symbol->st_name, name, strlen(name) + 1) != 0)
                continue;
            uint64_t at;
            if (!symbol_at(f, s, k, &symbol, &at))
                return false;
            memcpy(f->image, &(image_header){at}, sizeof(image_header));
            return true;
        }
    }
    return refuse(f, "it does not have the function");
}

lvt_status lvt_image_make(const lvt_object *object, const char *symbol, lvt_object *image, const char **why) {
    elf f = {.data = object->data, .size = object->size};
    *image = (lvt_object){0};
    *why = NULL;
    bool ok = read_sections(&f) && relocate(&f) && find_entry(&f, symbol);
    free(f.at);
    if (ok) {
        *image = (lvt_object){f.image, f.image_size};
        return LVT_OK;
    }
    free(f.image);
    *why = f.why;
    return f.why ? LVT_INTERNAL : LVT_NOMEM;
}

/* ---- executable memory ---- */

struct lvt_code {
    lvt_code *next;
    void *base;
    size_t bytes;
};

/* References to pages are counted from the image's own, so there each needs a page to begin at. */
static size_t spacing(void) {
#ifdef __x86_64__
    return ALIGN;
#else
    return 4096;
#endif
}

lvt_status lvt_code_map(lvt_code **list, size_t n, const lvt_object *images, lvt_nest_code *entries) {
    size_t bytes = 0, step = spacing();
    for (size_t i = 0; i < n; i++)
        bytes += (images[i].size + step - 1) / step * step;
    if (!bytes)
        return LVT_OK;
    lvt_code *c = calloc(1, sizeof *c);
    void *base =
        c ? mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) : MAP_FAILED;
    if (base == MAP_FAILED) {
        free(c);
        return LVT_NOMEM;
    }
    char *at = base;
    for (size_t i = 0; i < n; i++) {
        image_header h;
        memcpy(&h, images[i].data, sizeof h);
        memcpy(at, images[i].data, images[i].size);
        entries[i] = (lvt_nest_code)(uintptr_t)(at + h.entry);
        at += (images[i].size + step - 1) / step * step;
    }
    __builtin___clear_cache((char *)base, (char *)base + bytes);
    *c = (lvt_code){*list, base, bytes};
    *list = c;
    return mprotect(base, bytes, PROT_READ | PROT_EXEC) == 0 ? LVT_OK : LVT_IO;
}

void lvt_code_free(lvt_code *list) {
    while (list) {
        lvt_code *next = list->next;
        munmap(list->base, list->bytes);
        free(list);
        list = next;
    }
}

bool lvt_image_plausible(const lvt_object *image) {
    image_header h;
    if (image->size < 2 * ALIGN || image->size % ALIGN || image->size > LVT_IMAGE_MOST)
        return false;
    memcpy(&h, image->data, sizeof h);
    return h.entry >= ALIGN && h.entry < image->size;
}
