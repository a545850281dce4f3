"""What can be noticed about objects: each finding is the subject of some test."""

from pathlib import Path

from common.objects.findings import OBJECT_FINDINGS

TESTS = Path(__file__).parents[2]


def test_every_finding_is_named_in_a_test():
    sources = [path.read_text() for path in TESTS.rglob("test_*.py")]

    missing = [name for name in OBJECT_FINDINGS if not any(name in text for text in sources)]

    assert missing == []


def test_messages_say_what_to_do():
    for name, (_, message) in OBJECT_FINDINGS.items():
        assert message.endswith("."), name
        assert 40 <= len(message) <= 300, name
