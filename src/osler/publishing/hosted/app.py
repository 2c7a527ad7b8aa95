"""The page of a Space: a text in, ranked diagnoses out. Nothing of it is kept. Research use only."""

from __future__ import annotations

from pathlib import Path

import gradio

from osler.errors import InputError
from osler.serving import EXAMPLE, EXAMPLE_IS, TOP, load_models, render_lines

MODEL = Path(__file__).with_name("model.txt").read_text(encoding="utf-8").strip()
ABOUT = f"""# `{MODEL}`

Ranks diagnoses for the description of a patient. **It is no clinical evidence and no medical device: for research.**
This page runs on servers of Hugging Face: **enter nothing about a real person.**"""

(model,) = load_models([MODEL]).values()


def diagnose(text: str) -> tuple[dict[str, float] | None, str]:
    """Name of a diagnosis → probability, None where the model gives none; and the whole answer in lines."""
    try:
        asked = model.encode(text.encode(errors="replace").decode())
    except InputError as error:
        raise gradio.Error(str(error)) from None
    (answer,) = model.answer([asked], TOP)
    shares = {one.name: one.probability for one in answer.diagnoses if one.probability is not None}
    return shares or None, render_lines(answer)


with gradio.Blocks(title=MODEL, analytics_enabled=False) as page:
    gradio.Markdown(ABOUT)
    text = gradio.Textbox(label="Description of a patient", lines=6, max_length=50_000)
    ask = gradio.Button("Rank diagnoses", variant="primary")
    shares = gradio.Label(label="Most likely", num_top_classes=TOP)
    lines = gradio.Textbox(label="In words", lines=8)
    gradio.Examples([EXAMPLE], inputs=text, label=f"Example: {EXAMPLE_IS}")
    ask.click(diagnose, inputs=text, outputs=[shares, lines], api_name="diagnose")

if __name__ == "__main__":
    page.launch()
