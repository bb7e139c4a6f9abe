"""Writes tests/unit/configurations.jsonl: what repositories of many architectures hold, and what each of them is.

    python scripts/configurations/make.py

Configurations come from the architectures' own classes in transformers, with the fields that published models set where these decide; what each
is was written down by hand. Families of other libraries are written out from their documentation.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

warnings.filterwarnings("ignore")
from transformers.models.auto.configuration_auto import CONFIG_MAPPING  # noqa: E402

OUT = Path(__file__).parents[2] / "tests" / "unit" / "configurations.jsonl"
DECODER, ENCODER, BOTH, STATE, HYBRID, DUAL = (
    "decoder-only",
    "encoder-only",
    "encoder-decoder",
    "state-space",
    "hybrid",
    "dual-encoder",
)

# name, model_type, class, family, architecture type, task
PLAIN = """
llama-3 | llama | LlamaForCausalLM | language | decoder-only | text-generation
code-llama | llama | LlamaForCausalLM | language | decoder-only | text-generation
mistral-7b | mistral | MistralForCausalLM | language | decoder-only | text-generation
mixtral-8x7b | mixtral | MixtralForCausalLM | language | decoder-only | text-generation
qwen2-7b | qwen2 | Qwen2ForCausalLM | language | decoder-only | text-generation
qwen2-moe | qwen2_moe | Qwen2MoeForCausalLM | language | decoder-only | text-generation
qwen3-8b | qwen3 | Qwen3ForCausalLM | language | decoder-only | text-generation
qwen3-30b-a3b | qwen3_moe | Qwen3MoeForCausalLM | language | decoder-only | text-generation
qwen3-next | qwen3_next | Qwen3NextForCausalLM | language | hybrid | text-generation
gemma-2 | gemma2 | Gemma2ForCausalLM | language | decoder-only | text-generation
gemma-3-1b | gemma3_text | Gemma3ForCausalLM | language | decoder-only | text-generation
phi-2 | phi | PhiForCausalLM | language | decoder-only | text-generation
phi-3-mini | phi3 | Phi3ForCausalLM | language | decoder-only | text-generation
phi-3.5-moe | phimoe | PhimoeForCausalLM | language | decoder-only | text-generation
gpt2 | gpt2 | GPT2LMHeadModel | language | decoder-only | text-generation
gpt-neo | gpt_neo | GPTNeoForCausalLM | language | decoder-only | text-generation
gpt-neox-20b | gpt_neox | GPTNeoXForCausalLM | language | decoder-only | text-generation
gpt-j | gptj | GPTJForCausalLM | language | decoder-only | text-generation
starcoder | gpt_bigcode | GPTBigCodeForCausalLM | language | decoder-only | text-generation
starcoder2 | starcoder2 | Starcoder2ForCausalLM | language | decoder-only | text-generation
gpt-oss-20b | gpt_oss | GptOssForCausalLM | language | decoder-only | text-generation
deepseek-v2 | deepseek_v2 | DeepseekV2ForCausalLM | language | decoder-only | text-generation
deepseek-v3 | deepseek_v3 | DeepseekV3ForCausalLM | language | decoder-only | text-generation
olmo-2 | olmo2 | Olmo2ForCausalLM | language | decoder-only | text-generation
olmoe | olmoe | OlmoeForCausalLM | language | decoder-only | text-generation
falcon-7b | falcon | FalconForCausalLM | language | decoder-only | text-generation
granite-3 | granite | GraniteForCausalLM | language | decoder-only | text-generation
smollm3 | smollm3 | SmolLM3ForCausalLM | language | decoder-only | text-generation
bloom | bloom | BloomForCausalLM | language | decoder-only | text-generation
opt | opt | OPTForCausalLM | language | decoder-only | text-generation
mpt | mpt | MptForCausalLM | language | decoder-only | text-generation
stablelm | stablelm | StableLmForCausalLM | language | decoder-only | text-generation
command-r | cohere | CohereForCausalLM | language | decoder-only | text-generation
glm-4 | glm4 | Glm4ForCausalLM | language | decoder-only | text-generation
lfm2 | lfm2 | Lfm2ForCausalLM | language | hybrid | text-generation
t5-base | t5 | T5ForConditionalGeneration | language | encoder-decoder | text2text-generation
mt5-small | mt5 | MT5ForConditionalGeneration | language | encoder-decoder | text2text-generation
bart-large | bart | BartForConditionalGeneration | language | encoder-decoder | text2text-generation
mbart-50 | mbart | MBartForConditionalGeneration | language | encoder-decoder | text2text-generation
pegasus | pegasus | PegasusForConditionalGeneration | language | encoder-decoder | text2text-generation
marian-en-de | marian | MarianMTModel | language | encoder-decoder | text2text-generation
nllb-moe | nllb-moe | NllbMoeForConditionalGeneration | language | encoder-decoder | text2text-generation
switch-base-8 | switch_transformers | SwitchTransformersForConditionalGeneration | language | encoder-decoder | text2text-generation
mamba-130m | mamba | MambaForCausalLM | state_space | state-space | text-generation
mamba2 | mamba2 | Mamba2ForCausalLM | state_space | state-space | text-generation
falcon-mamba | falcon_mamba | FalconMambaForCausalLM | state_space | state-space | text-generation
jamba | jamba | JambaForCausalLM | state_space | hybrid | text-generation
bamba | bamba | BambaForCausalLM | state_space | hybrid | text-generation
zamba2 | zamba2 | Zamba2ForCausalLM | state_space | hybrid | text-generation
nemotron-h | nemotron_h | NemotronHForCausalLM | state_space | hybrid | text-generation
rwkv-4 | rwkv | RwkvForCausalLM | state_space | rnn | text-generation
llava-1.5 | llava | LlavaForConditionalGeneration | multimodal | decoder-only | image-text-to-text
llava-next | llava_next | LlavaNextForConditionalGeneration | multimodal | decoder-only | image-text-to-text
qwen2-vl | qwen2_vl | Qwen2VLForConditionalGeneration | multimodal | decoder-only | image-text-to-text
qwen2.5-vl | qwen2_5_vl | Qwen2_5_VLForConditionalGeneration | multimodal | decoder-only | image-text-to-text
qwen3-vl | qwen3_vl | Qwen3VLForConditionalGeneration | multimodal | decoder-only | image-text-to-text
smolvlm | smolvlm | SmolVLMForConditionalGeneration | multimodal | decoder-only | image-text-to-text
idefics3 | idefics3 | Idefics3ForConditionalGeneration | multimodal | decoder-only | image-text-to-text
paligemma | paligemma | PaliGemmaForConditionalGeneration | multimodal | decoder-only | image-text-to-text
internvl | internvl | InternVLForConditionalGeneration | multimodal | decoder-only | image-text-to-text
gemma-3-4b | gemma3 | Gemma3ForConditionalGeneration | multimodal | decoder-only | image-text-to-text
llama-3.2-vision | mllama | MllamaForConditionalGeneration | multimodal | decoder-only | image-text-to-text
pixtral-mistral3 | mistral3 | Mistral3ForConditionalGeneration | multimodal | decoder-only | image-text-to-text
florence-2 | florence2 | Florence2ForConditionalGeneration | multimodal | encoder-decoder | image-text-to-text
blip-2 | blip-2 | Blip2ForConditionalGeneration | multimodal | decoder-only | image-text-to-text
fuyu-8b | fuyu | FuyuForCausalLM | multimodal | decoder-only | image-text-to-text
layoutlm | layoutlm | LayoutLMForTokenClassification | document | encoder-only | token-classification
layoutlmv2 | layoutlmv2 | LayoutLMv2ForTokenClassification | document | encoder-only | token-classification
layoutlmv3 | layoutlmv3 | LayoutLMv3ForTokenClassification | document | encoder-only | token-classification
layoutlmv3-base | layoutlmv3 | LayoutLMv3Model | document | encoder-only | token-classification
layoutlm-qa | layoutlm | LayoutLMForQuestionAnswering | document | encoder-only | document-question-answering
lilt | lilt | LiltForTokenClassification | document | encoder-only | token-classification
udop | udop | UdopForConditionalGeneration | document | encoder-decoder | document-question-answering
bert-base | bert | BertForMaskedLM | embedding | encoder-only | fill-mask
bert-plain | bert | BertModel | embedding | encoder-only | feature-extraction
roberta-base | roberta | RobertaForMaskedLM | embedding | encoder-only | fill-mask
deberta-v3 | deberta-v2 | DebertaV2Model | embedding | encoder-only | feature-extraction
modernbert | modernbert | ModernBertForMaskedLM | embedding | encoder-only | fill-mask
xlm-roberta | xlm-roberta | XLMRobertaForMaskedLM | embedding | encoder-only | fill-mask
t5-encoder | t5 | T5EncoderModel | embedding | encoder-only | feature-extraction
clip-vit-b32 | clip | CLIPModel | embedding | dual-encoder | zero-shot-image-classification
siglip-base | siglip | SiglipModel | embedding | dual-encoder | zero-shot-image-classification
bert-sentiment | bert | BertForSequenceClassification | classifier | encoder-only | text-classification
roberta-ner | roberta | RobertaForTokenClassification | classifier | encoder-only | token-classification
llama-reward | llama | LlamaForSequenceClassification | classifier | decoder-only | text-classification
bart-mnli | bart | BartForSequenceClassification | classifier | encoder-decoder | text-classification
whisper-tiny | whisper | WhisperForConditionalGeneration | audio | encoder-decoder | automatic-speech-recognition
wav2vec2-base | wav2vec2 | Wav2Vec2ForCTC | audio | encoder-only | automatic-speech-recognition
wav2vec2-plain | wav2vec2 | Wav2Vec2Model | audio | encoder-only | feature-extraction
hubert-ctc | hubert | HubertForCTC | audio | encoder-only | automatic-speech-recognition
wav2vec2-emotion | wav2vec2 | Wav2Vec2ForSequenceClassification | audio | encoder-only | audio-classification
ast | audio-spectrogram-transformer | ASTForAudioClassification | audio | encoder-only | audio-classification
speecht5-tts | speecht5 | SpeechT5ForTextToSpeech | audio | encoder-decoder | text-to-speech
vits | vits | VitsModel | audio | encoder-only | text-to-speech
bark | bark | BarkModel | audio | decoder-only | text-to-speech
encodec | encodec | EncodecModel | audio | decoder-only | feature-extraction
clap | clap | ClapModel | audio | dual-encoder | zero-shot-audio-classification
qwen2-audio | qwen2_audio | Qwen2AudioForConditionalGeneration | audio | decoder-only | audio-text-to-text
vit-base | vit | ViTForImageClassification | vision | encoder-only | image-classification
dinov2 | dinov2 | Dinov2Model | vision | encoder-only | image-feature-extraction
swin-tiny | swin | SwinForImageClassification | vision | encoder-only | image-classification
resnet-50 | resnet | ResNetForImageClassification | vision | encoder-only | image-classification
convnext | convnext | ConvNextForImageClassification | vision | encoder-only | image-classification
detr-resnet-50 | detr | DetrForObjectDetection | vision | encoder-decoder | object-detection
yolos | yolos | YolosForObjectDetection | vision | encoder-only | object-detection
rt-detr | rt_detr | RTDetrForObjectDetection | vision | encoder-decoder | object-detection
owlvit | owlvit | OwlViTForObjectDetection | vision | dual-encoder | zero-shot-object-detection
sam-vit-base | sam | SamModel | vision | encoder-decoder | mask-generation
sam2 | sam2 | Sam2Model | vision | encoder-decoder | mask-generation
segformer-b0 | segformer | SegformerForSemanticSegmentation | vision | encoder-only | image-segmentation
mask2former | mask2former | Mask2FormerForUniversalSegmentation | vision | encoder-decoder | image-segmentation
depth-anything | depth_anything | DepthAnythingForDepthEstimation | vision | encoder-only | depth-estimation
dpt-large | dpt | DPTForDepthEstimation | vision | encoder-only | depth-estimation
videomae | videomae | VideoMAEForVideoClassification | vision | encoder-only | video-classification
tapas | tapas | TapasForQuestionAnswering | specialized | encoder-only | question-answering
bert-squad | bert | BertForQuestionAnswering | specialized | encoder-only | question-answering
time-series | patchtst | PatchTSTForPrediction | specialized | encoder-only | time-series-forecasting
decision | decision_transformer | DecisionTransformerModel | specialized | decoder-only | reinforcement-learning
"""
# Fields that published models set and a class's defaults leave out.
SET: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [9, 18, 27]},
    "code-llama": {"rope_theta": 1_000_000.0, "vocab_size": 32016},
}


def configuration(name: str, model_type: str, architecture: str) -> dict[str, Any]:
    config = json.loads(CONFIG_MAPPING[model_type]().to_json_string(use_diff=False)) | SET.get(name, {})
    return {
        key: value for key, value in config.items() if value is not None and key not in {"id2label", "label2id"}
    } | {"architectures": [architecture]}


def halves(encoder: str, decoder: str) -> dict[str, Any]:
    return {
        "architectures": ["VisionEncoderDecoderModel"], "model_type": "vision-encoder-decoder", "is_encoder_decoder": True,
        "encoder": configuration("", encoder, ""), "decoder": configuration("", decoder, ""),
    }  # fmt: skip


def pipeline(kind: str, **parts: list[str]) -> dict[str, Any]:
    return {"_class_name": kind, "_diffusers_version": "0.42.1", **parts}


SD = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
}
FLUX = {"transformer": ["diffusers", "FluxTransformer2DModel"], "vae": ["diffusers", "AutoencoderKL"]}
BERT = configuration("", "bert", "BertModel")
LLAMA = configuration("", "llama", "LlamaForCausalLM")
CUSTOM = {"auto_map": {"AutoConfig": "configuration_x.XConfig", "AutoModelForCausalLM": "modeling_x.XForCausalLM"}}

# name, files, family, architecture type, task
WRITTEN: list[tuple[str, dict[str, Any], str, str, str]] = [
    ("donut", {"config.json": halves("donut-swin", "mbart"), "preprocessor_config.json": {"image_processor_type": "DonutImageProcessor"}}, "document", BOTH, "image-to-text"),
    ("trocr", {"config.json": halves("vit", "trocr"), "preprocessor_config.json": {"image_processor_type": "ViTImageProcessor"}}, "document", BOTH, "image-to-text"),
    ("trocr-deit-roberta", {"config.json": halves("deit", "roberta"), "preprocessor_config.json": {"processor_class": "TrOCRProcessor"}}, "document", BOTH, "image-to-text"),
    ("vit-gpt2-captions", {"config.json": halves("vit", "gpt2")}, "multimodal", BOTH, "image-to-text"),
    ("stable-diffusion-1.5", {"model_index.json": pipeline("StableDiffusionPipeline", **SD), "unet/config.json": {"_class_name": "UNet2DConditionModel"}}, "diffusion", "diffusion", "text-to-image"),
    ("sdxl", {"model_index.json": pipeline("StableDiffusionXLPipeline", **SD)}, "diffusion", "diffusion", "text-to-image"),
    ("sd3", {"model_index.json": pipeline("StableDiffusion3Pipeline", **FLUX)}, "diffusion", "diffusion", "text-to-image"),
    ("flux-dev", {"model_index.json": pipeline("FluxPipeline", **FLUX)}, "diffusion", "diffusion", "text-to-image"),
    ("flux-kontext", {"model_index.json": pipeline("FluxKontextPipeline", **FLUX)}, "diffusion", "diffusion", "image-to-image"),
    ("instruct-pix2pix", {"model_index.json": pipeline("StableDiffusionInstructPix2PixPipeline", **SD)}, "diffusion", "diffusion", "image-to-image"),
    ("ltx-video", {"model_index.json": pipeline("LTXPipeline", **FLUX)}, "diffusion", "diffusion", "text-to-video"),
    ("stable-audio", {"model_index.json": pipeline("StableAudioPipeline", **FLUX)}, "diffusion", "diffusion", "text-to-audio"),
    ("a-unet-alone", {"config.json": {"_class_name": "UNet2DConditionModel", "_diffusers_version": "0.42.1", "in_channels": 4}}, "diffusion", "diffusion", "component"),
    ("all-minilm", {"config.json": BERT, "modules.json": [{"idx": 0, "type": "sentence_transformers.models.Transformer"}]}, "embedding", ENCODER, "sentence-similarity"),
    ("qwen3-embedding", {"config.json": configuration("", "qwen3", "Qwen3ForCausalLM"), "modules.json": [{"idx": 0}]}, "embedding", DECODER, "sentence-similarity"),
    ("static-embedding", {"modules.json": [{"idx": 0, "type": "sentence_transformers.models.StaticEmbedding"}]}, "embedding", ENCODER, "sentence-similarity"),
    ("custom-decoder", {"config.json": {**LLAMA, **CUSTOM, "architectures": ["XForCausalLM"], "model_type": "x"}}, "language", DECODER, "text-generation"),
    ("custom-internvl-chat", {"config.json": {"architectures": ["InternVLChatModel"], "auto_map": CUSTOM["auto_map"], "model_type": "internvl_chat", "llm_config": LLAMA, "vision_config": {"image_size": 448}}}, "multimodal", DECODER, "image-text-to-text"),
    ("original-llava", {"config.json": {**LLAMA, "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "mm_vision_tower": "openai/clip-vit-large-patch14-336"}}, "multimodal", DECODER, "image-text-to-text"),
    ("phi-3-vision", {"config.json": {**LLAMA, **CUSTOM, "architectures": ["Phi3VForCausalLM"], "model_type": "phi3_v", "img_processor": {"image_dim_out": 1024}}}, "multimodal", DECODER, "image-text-to-text"),
    ("timm-resnet", {"config.json": {"architecture": "resnet50", "num_classes": 1000, "num_features": 2048, "pretrained_cfg": {"input_size": [3, 224, 224]}}}, "vision", ENCODER, "image-classification"),
    ("config-without-class", {"config.json": {key: value for key, value in LLAMA.items() if key != "architectures"}}, "language", DECODER, "text-generation"),
    ("llm-config", {"llm_config.json": LLAMA}, "language", DECODER, "text-generation"),
    ("oddly-named-config", {"my_model_config.json": LLAMA}, "language", DECODER, "text-generation"),
    ("service-and-model-config", {"agent_config.json": {"api_key": "k", "model_type": "gpt"}, "net_config.json": LLAMA}, "language", DECODER, "text-generation"),
    ("moonshine", {"config.json": configuration("", "moonshine", "MoonshineForConditionalGeneration")}, "audio", BOTH, "automatic-speech-recognition"),
    ("custom-speech", {"config.json": {**LLAMA, "architectures": ["TalkForConditionalGeneration"], "model_type": "talk"}, "preprocessor_config.json": {"sampling_rate": 16000}}, "audio", DECODER, "audio-text-to-text"),
    ("bert-moved-tag", {"config.json": configuration("", "bert", "BertForSequenceClassification"), "(tag)": "text-generation"}, "classifier", ENCODER, "text-classification"),
    ("cross-encoder", {"config.json": configuration("", "bert", "BertForSequenceClassification"), "(tag)": "text-ranking"}, "classifier", ENCODER, "text-ranking"),
    ("t5-translation-tag", {"config.json": configuration("", "t5", "T5ForConditionalGeneration"), "(tag)": "translation"}, "language", BOTH, "translation"),
]  # fmt: skip


def main() -> None:
    rows = []
    for line in PLAIN.strip().splitlines():
        name, model_type, architecture, family, kind, task = (cell.strip() for cell in line.split("|"))
        rows.append(
            {
                "name": name,
                "files": {"config.json": configuration(name, model_type, architecture)},
                "is": [family, kind, task],
            }
        )
    rows += [{"name": name, "files": files, "is": [family, kind, task]} for name, files, family, kind, task in WRITTEN]
    OUT.write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows), encoding="utf-8")
    print(f"{len(rows)} configurations")


if __name__ == "__main__":
    main()
