"""demo.svg, of what the demo prints:

make demo 2>&1 | tee demo.txt
python docs/pictures/demo.py demo.txt
"""

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

STYLES = {
    r"^✓": "green",
    r"^ domain.*": "bold",
    r"acclimate (up|predict)\b.*?(?=   |$)": "bold",
    r"promoted": "green",
    r"─+": "dim",
}


def main(printed: Path) -> None:
    console = Console(record=True, width=84, file=io.StringIO())
    console.print(Text("$ make demo", style="bold"))
    for line in printed.read_text("utf-8").splitlines():
        text = Text(line.rsplit("\r")[-1])
        for pattern, style in STYLES.items():
            text.highlight_regex(pattern, style)
        console.print(text)
    console.save_svg(str(Path(__file__).with_suffix(".svg")), title="acclimate")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
