"""Google's Gemini as a judge, through its OpenAI-compatible endpoint (https://ai.google.dev/gemini-api/docs/openai)."""

from __future__ import annotations

from lorasmith.evaluation.judges.openai import OpenAIKind


class GeminiKind(OpenAIKind):
    name = "gemini"
    title = "Google Gemini"
    base_url = "https://generativelanguage.googleapis.com/v1beta/openai"
    model = "gemini-2.5-flash"
    key_variable = "GEMINI_API_KEY"


plugin = GeminiKind()
