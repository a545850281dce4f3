"""What differs between tasks is in `services/`; what does not is in `common/`, once."""

from itertools import combinations
from pathlib import Path

from docs.code import ROOT, SERVICES, code_lines

# So many lines of code in a row are no coincidence. Imports are: they are counted as none.
SAME_LINES = 6


def runs(folder):
    """Each run of so many lines below a folder, with the place where it begins."""
    found = {}
    for path in sorted(Path(ROOT / folder).rglob("*.py")):
        lines = [
            (number, line)
            for number, line in code_lines(path.read_text()).items()
            if any(letter.isalnum() for letter in line)
            and not line.startswith(("import ", "from ", "if TYPE_CHECKING"))
        ]
        for begin in range(len(lines) - SAME_LINES + 1):
            run = lines[begin : begin + SAME_LINES]
            text = "\n".join(line for _, line in run)
            found.setdefault(text, f"{path.relative_to(ROOT)}:{run[0][0]}")
    return found


def test_services_repeat_nothing_of_each_other():
    places = {name: runs(folder) for name, folder in SERVICES.items()}
    twice = [
        f"{places[one][text]} ~ {places[other][text]}\n{text}"
        for one, other in combinations(SERVICES, 2)
        for text in places[one].keys() & places[other].keys()
    ]

    assert not twice, "\n\n".join(sorted(twice))


def test_a_run_that_stands_twice_is_found():
    """The test above would see one."""
    assert runs("services/detection").keys() & runs("services").keys()
