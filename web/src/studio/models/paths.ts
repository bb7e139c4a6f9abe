/** Where a model's check stands, and models to begin with. */
export const checkPath = (model: string): string => `/models/check?model=${encodeURIComponent(model)}`;

/** Small enough for most machines. */
export const SAMPLES = ["Qwen/Qwen3-0.6B", "HuggingFaceTB/SmolLM2-360M-Instruct"];
