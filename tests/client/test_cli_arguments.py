"""What the `nocode-vision` command says of wrong arguments, and where no server is."""

import pytest

from tests.client.command import Command

DATASET = "tasks/classification/datasets/d"
PIPELINE = "tasks/classification/pipelines/p"


@pytest.fixture(scope="module")
def command():
    """The command, told of a server where there is none."""
    return Command("127.0.0.1:9")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        pytest.param(["fly"], "fly", id="no such command"),
        pytest.param(["jobs", "--wings"], "--wings", id="no such option"),
        pytest.param(["train"], "Missing argument", id="argument missing"),
        pytest.param(["train", "shapes"], "tasks/TASK/datasets/ID", id="no name"),
        pytest.param(["train", DATASET, "--set", "wings=2"], "epoch_count", id="no such setting"),
        pytest.param(["train", DATASET, "--set", "epoch_count=x"], "integer", id="no integer"),
        pytest.param(["train", DATASET, "--set", "learning_rate=x"], "number", id="no number"),
        pytest.param(["import", "/nowhere"], "/nowhere", id="no such file"),
        pytest.param(["import", "s3://b/k", "--void-index", "-1"], "--void-index", id="no value"),
        pytest.param(["import", "s3://b/k", "--void-index", "65536"], "65535", id="no 16 bits"),
        pytest.param(
            ["predict", PIPELINE, __file__, "--mask-format", "gif"], "'png'", id="no mask format"
        ),
        pytest.param(["predict", PIPELINE, "/nowhere"], "/nowhere", id="no such image"),
    ],
)
def test_wrong_arguments_are_named_before_a_server_is_asked(command, words, part):
    """Status 2, and what would be right."""
    assert part in command.run(*words, status=2).stderr


@pytest.mark.parametrize(
    "option",
    [
        ("--set", "epoch_count=1"),
        ("--architecture", "resnet50"),
        ("--group-by", "column:person"),
        ("--id", "q"),
        ("--name", "Mine"),
    ],
    ids=lambda option: option[0],
)
def test_an_existing_pipeline_takes_no_settings(command, option):
    """They would change nothing, and nobody would notice."""
    said = command.run("train", PIPELINE, *option, status=2).stderr

    assert option[0] in said
    assert "new pipeline" in " ".join(said.replace("│", " ").split())


def test_no_server_gives_status_3(command):
    """With the address that was tried."""
    assert "No server answers at 127.0.0.1:9" in command.run("jobs", status=3).stderr


def test_a_file_that_cannot_be_read_is_named(command, tmp_path):
    """Status 1; it is no matter of the server's."""
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "gone.jpg").symlink_to(tmp_path / "nowhere")

    said = command.run("import", tmp_path, status=1).stderr

    assert "gone.jpg: No such file or directory" in said
