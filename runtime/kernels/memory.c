/* Memory of sessions: mappings, and copies between strided and packed elements.
 *
 * Invariant: memory handed out is zeroed and aligned to at least 64 bytes. May not know: programs, kernels.
 */
#include "memory.h"

#include <string.h>
#include <sys/mman.h>

enum { LARGE_PAGE = 2 << 20 };

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LVT_GUARDED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define LVT_GUARDED 1
#endif

#ifdef LVT_GUARDED
/* AddressSanitizer sees neither mappings nor generated code: a page that nobody may touch lies behind each
 * block, whose end is as near to it as alignment allows. */
enum { PAGE = 4096 };

static char *first_page(const lvt_block *b) {
    return (char *)b->base - (uintptr_t)b->base % PAGE;
}

bool lvt_block_map(lvt_block *b, size_t bytes) {
    *b = (lvt_block){0};
    bytes += !bytes;
    if (bytes > SIZE_MAX - 3 * PAGE)
        return false;
    size_t used = (bytes + 63) / 64 * 64, size = (used + PAGE - 1) / PAGE * PAGE;
    char *p = mmap(NULL, size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    *b = (lvt_block){p + size - used, used};
    return mprotect(p + size, PAGE, PROT_NONE) == 0;
}

void lvt_block_unmap(lvt_block *b) {
    if (b->base)
        munmap(first_page(b), (size_t)((char *)b->base - first_page(b)) + b->bytes + PAGE);
    *b = (lvt_block){0};
}

void lvt_block_drop(lvt_block *b) {
    if (b->base)
        (void)madvise(first_page(b), (size_t)((char *)b->base - first_page(b)) + b->bytes, MADV_DONTNEED);
}
#else
bool lvt_block_map(lvt_block *b, size_t bytes) {
    *b = (lvt_block){0};
    bytes += !bytes;
    size_t slack = bytes >= LARGE_PAGE ? LARGE_PAGE : 0;
    if (bytes > SIZE_MAX - slack - LARGE_PAGE)
        return false;
    size_t size = (bytes + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE;
    char *p = mmap(NULL, size + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return false;
    if (slack) { /* cut the mapping down to an aligned piece: only whole large pages are backed by one */
        size_t head = (LARGE_PAGE - (uintptr_t)p % LARGE_PAGE) % LARGE_PAGE;
        if (head)
            munmap(p, head);
        if (slack - head)
            munmap(p + head + size, slack - head);
        p += head;
        (void)madvise(p, size,
                      MADV_HUGEPAGE); /* a wish: without it everything works, with more page misses */
    }
    *b = (lvt_block){p, size};
    return true;
}

void lvt_block_unmap(lvt_block *b) {
    if (b->base)
        munmap(b->base, b->bytes);
    *b = (lvt_block){0};
}

void lvt_block_drop(lvt_block *b) {
    if (b->base)
        (void)madvise(b->base, b->bytes, MADV_DONTNEED);
}
#endif

void lvt_strides_of(const lvt_type *t, int64_t *strides) {
    int64_t step = 1;
    memset(strides, 0, LVT_MAX_RANK * sizeof *strides);
    for (int i = t->rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= t->dim[i];
    }
}

bool lvt_strides_packed(const lvt_type *t, const int64_t *strides) {
    int64_t step = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        if (t->dim[i] != 1 && strides[i] != step)
            return false;
        step *= t->dim[i];
    }
    return true;
}

int64_t lvt_strides_extent(const lvt_type *t, const int64_t *strides) {
    int64_t last = 0;
    for (int i = 0; i < t->rank; i++)
        last += (t->dim[i] - 1) * strides[i];
    return last + 1;
}

static void copy_rows(const lvt_type *t, const int64_t *strides, char *strided, char *packed, bool gather) {
    size_t size = lvt_dtype_size((lvt_dtype)t->dtype);
    int inner = t->rank - 1;
    int64_t n = t->rank ? t->dim[inner] : 1, step = t->rank ? strides[inner] : 1;
    int64_t rows = lvt_numel(t) / n, at[LVT_MAX_RANK] = {0};
    for (int64_t row = 0; row < rows; row++) {
        int64_t offset = 0;
        for (int i = 0; i < inner; i++)
            offset += at[i] * strides[i];
        char *s = strided + offset * (int64_t)size, *p = packed + row * n * (int64_t)size;
        if (step == 1 || n == 1) {
            memcpy(gather ? p : s, gather ? s : p, (size_t)n * size);
        } else {
            for (int64_t k = 0; k < n; k++) {
                char *sk = s + k * step * (int64_t)size, *pk = p + k * (int64_t)size;
                memcpy(gather ? pk : sk, gather ? sk : pk, size);
            }
        }
        for (int i = inner - 1; i >= 0 && ++at[i] == t->dim[i]; i--)
            at[i] = 0;
    }
}

void lvt_gather_packed(const lvt_type *t, const int64_t *strides, const void *strided, void *packed) {
    if (lvt_strides_packed(t, strides))
        memcpy(packed, strided, lvt_type_bytes(t));
    else
        copy_rows(t, strides, (char *)strided, packed, true);
}

void lvt_scatter_packed(const lvt_type *t, const int64_t *strides, const void *packed, void *strided) {
    if (lvt_strides_packed(t, strides))
        memcpy(strided, packed, lvt_type_bytes(t));
    else
        copy_rows(t, strides, strided, (char *)packed, false);
}
