"""The backbones of the comparison as others have them: torchvision's ResNet, timm's ViT, LeViT and CoaT, vit-pytorch's
CCT and CvT, small enough for the interpreter, with the settings that make lvt's the same network. Needs torchvision, timm,
vit-pytorch: tests/parity/make_environment.sh."""
import torch

CLASSES = 10
missing = None
try:
    import timm
    import torchvision
    import vit_pytorch
    from timm.models import coat, levit, vision_transformer
    from vit_pytorch import cct, cvt
except ImportError as e:
    missing = str(e)


class Backbone:
    """name: of the reference files; model: of the file in models/; settings: for lvtc; head: the last layer's name in
    PyTorch; images: of a batch."""

    def __init__(self, name, model, source, head, make, settings, images=4):
        self.name, self.model, self.source, self.head = name, model, source, head
        self.make, self.settings, self.images = make, settings, images

    def path(self, name):
        """lvt's name of a parameter."""
        prefix = self.head + "."
        return "accumulation." + name[len(prefix):] if name.startswith(prefix) else name


def resnet18():
    network = torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=CLASSES)
    network.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)  # as continual learning has it
    network.maxpool = torch.nn.Identity()
    return network


def vit():
    return vision_transformer.VisionTransformer(img_size=32, patch_size=4, embed_dim=32, depth=2, num_heads=2,
                                                num_classes=CLASSES)


def levit_t():
    stem = levit.Stem8(3, 32, torch.nn.Hardswish)
    stem.conv1.linear.stride = (1, 1)  # for images of 32x32
    return levit.Levit(img_size=32, num_classes=CLASSES, embed_dim=(32, 48, 64), key_dim=16, depth=(1, 2, 1),
                       num_heads=(2, 3, 4), attn_ratio=2, mlp_ratio=2, stem_backbone=stem, stem_stride=4)


def coat_of(**sizes):
    # timm has patches of 4x4 in mind: made for 64x64, its grids are those of 32x32 with patches of 2x2.
    network = coat.CoaT(img_size=64, patch_size=4, num_classes=CLASSES, **sizes)
    network.patch_embed1 = coat.PatchEmbed(img_size=32, patch_size=2, embed_dim=sizes["embed_dims"][0],
                                           norm_layer=torch.nn.LayerNorm)
    return network


def cct_small():
    return cct.CCT(img_size=32, embedding_dim=32, n_conv_layers=2, kernel_size=3, stride=1, padding=1, num_layers=2,
                   num_heads=2, mlp_ratio=3, num_classes=CLASSES, positional_embedding="learnable", dropout_rate=0.0,
                   attention_dropout=0.0, stochastic_depth_rate=0.0)


def cvt_small():
    return cvt.CvT(num_classes=CLASSES, s1_emb_dim=16, s1_emb_stride=2, s1_heads=1, s1_depth=1, s2_emb_dim=24,
                   s2_heads=2, s2_depth=1, s3_emb_dim=32, s3_heads=2, s3_depth=2)


BACKBONES = [] if missing else [
    Backbone("resnet18", "resnet18", f"torchvision {torchvision.__version__}", "fc", resnet18, ["depths=[1,1,1,1]"]),
    Backbone("vit", "vit", f"timm {timm.__version__}", "head", vit, ["width=32", "depth=2", "heads=2"]),
    # Its last norm sees one row an image, and hard swish has two kinks. Where an input lies so near to one that f32 is on
    # the other side, all gradients before it differ: PyTorch's own f32 differs from its f64 by 1.1e-4 with 4 images, by
    # 1.3e-5 with 10, by 1.5e-2 with 16.
    Backbone("levit-t", "levit-t", f"timm {timm.__version__}", "head.linear", levit_t,
             ["widths=[32,48,64]", "heads=[2,3,4]", "depths=[1,2,1]", "key_dim=16"],
             images=10),
    Backbone("coat", "coat", f"timm {timm.__version__}", "head",
             lambda: coat_of(embed_dims=(24, 32, 32, 32), serial_depths=(1, 2, 1, 1), parallel_depth=1),
             ["widths=[24,32,32,32]", "depths=[1,2,1,1]", "parallel_depth=1"]),
    Backbone("coat-lite", "coat", f"timm {timm.__version__}", "head",
             lambda: coat_of(embed_dims=(16, 24, 32, 40), serial_depths=(1, 1, 1, 2), mlp_ratios=(8, 8, 4, 4)),
             ["widths=[16,24,32,40]", "depths=[1,1,1,2]", "ratios=[8,8,4,4]", "parallel_depth=0"]),
    Backbone("cct", "cct", "vit-pytorch", "classifier.fc", cct_small, ["width=32", "depth=2", "heads=2"]),
    Backbone("cvt", "cvt", "vit-pytorch", "to_logits.2", cvt_small,
             ["widths=[16,24,32]", "heads=[1,2,2]", "depths=[1,1,2]"]),
]
