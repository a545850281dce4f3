"""Three images of ADE20K, as the archive of the scene parsing challenge has them."""

from tests.common.data.formats.samples import Counts, images, mask

NAMES = (
    "training/ADE_train_00000001",
    "training/ADE_train_00000002",
    "validation/ADE_val_00000001",
)
TOP = "ADEChallengeData2016"


def make(task):
    del task
    return (
        images(*(f"{TOP}/images/{name}.jpg" for name in NAMES))
        | {f"{TOP}/annotations/{name}.png": mask(100, 80, 0, 1, 2, 2) for name in NAMES}
        | {
            f"{TOP}/objectInfo150.txt": b"Idx\tRatio\tTrain\tVal\tName\n"
            b"1\t0.1576\t11664\t1172\twall\n2\t0.1072\t6046\t612\tbuilding, edifice\n",
            f"{TOP}/sceneCategories.txt": b"ADE_train_00000001 bedroom\n"
            b"ADE_train_00000002 street\nADE_val_00000001 bedroom\n",
        }
    )


def expected(task):
    splits = {"train": 2, "val": 1}
    if task == "classification":
        return Counts(3, {"bedroom": 2, "street": 1}, splits, set())
    return Counts(3, {"wall": 3 * 2000, "building, edifice": 3 * 4000}, splits, set())
