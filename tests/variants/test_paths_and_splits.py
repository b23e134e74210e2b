"""Sets as they arrive: paths of Windows, partial copies, suffixes of every case, one name in two folders, splits."""

import json
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from data.test_colmap_folders import model
from data.test_far_worlds import centres, opened, write_llff
from PIL import Image

from fewview.data import open_scene
from fewview.data.camera_file import read_cameras
from fewview.errors import InputError

HEIGHT, WIDTH = 12, 16


def put(root: Path, *names: str, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    for i, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", size, (30 * i, 0, 0)).save(root / name)


def listed(root: Path, *names: str, top: dict | None = None, name: str = "transforms.json") -> Path:
    """A transforms.json of cameras on a line."""
    frames = []
    for i, each in enumerate(names):
        pose = np.eye(4)
        pose[0, 3] = i
        frames.append({"file_path": each, "transform_matrix": pose.tolist()})
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps({"fl_x": 20, **(top or {}), "frames": frames}))
    return root


def names_of(root: Path) -> list[str]:
    return [photo.image.relative_to(root).as_posix() for photo in opened(root).photos]


PLACES = {  # what is listed, and where it lies
    "backslashes": ("images\\a b.png", "images/a b.png"),
    "backslashes from here": (".\\images\\sub\\a.png", "images/sub/a.png"),
    "two slashes": ("images//a.png", "images/a.png"),
    "a dot in between": ("images/./a.png", "images/a.png"),
    "a suffix of another case": ("images/a.png", "images/a.PNG"),
    "a folder of another case": ("Images/A.JPG", "images/a.jpg"),
    "another form of Unicode": (
        unicodedata.normalize("NFD", "images/Tür.png"), unicodedata.normalize("NFC", "images/Tür.png")),
    "no suffix and two dots": ("train/r.0.1", "train/r.0.1.webp"),
    "the suffix of a copy in half the size": ("images/a.png", "images_2/a.png"),
    "backslashes to a copy in an eighth of the size": ("images\\a.png", "images_8/a.png"),
    "letters beyond the plane": ("images/\U0001d49c.png", "images/\U0001d49c.png"),
    "signs of addresses": ("images/a%20b#1?.png", "images/a%20b#1?.png"),
}  # fmt: skip


@pytest.mark.parametrize("case", PLACES)
def test_photos_are_found_by_the_name_that_was_written(tmp_path, case):
    name, place = PLACES[case]
    put(tmp_path, place, "images/other.png")
    assert names_of(listed(tmp_path, name, "images/other.png")) == [place, "images/other.png"]


@pytest.mark.parametrize(
    "name", ["C:\\Users\\x\\pictures\\a.png", "/home/x/a.png", "..\\a.png", "\\\\host\\share\\a.png"]
)
def test_paths_of_one_computer_are_refused_in_one_sentence(tmp_path, name):
    put(tmp_path, "images/a.png", "images/b.png")
    with pytest.raises(InputError, match=r"frame 0 names the file '.*a\.png'"):
        open_scene(listed(tmp_path, name, "images/b.png"))


@pytest.mark.parametrize("share", [2, 4, 8])
@pytest.mark.parametrize("said", [True, False])
def test_numbers_for_the_whole_photo_are_scaled_to_its_copy(tmp_path, share, said):
    """Whether or not the file says the size of the whole one."""
    put(tmp_path, f"images_{share}/0.png", f"images_{share}/1.png")
    top = {"fl_x": 20 * share, "cx": 7 * share} | ({"w": WIDTH * share, "h": HEIGHT * share} if said else {})
    scene = opened(listed(tmp_path, "images/0.png", "images/1.png", top=top))
    k = scene.cameras[0].intrinsics
    assert (k[0, 0], k[1, 1], k[0, 2], k[1, 2]) == (20, 20, 7, 6) and "focal lengths are scaled" in scene.describe()


def test_whole_photos_come_before_copies(tmp_path):
    put(tmp_path, "images/0.png", "images/1.png")
    put(tmp_path, "images_2/0.png", "images_2/1.png", size=(8, 6))
    assert names_of(listed(tmp_path, "images/0.png", "images/1.png")) == ["images/0.png", "images/1.png"]


@pytest.mark.parametrize("share", [2, 4, 8])
def test_llff_of_copies_alone(tmp_path, share):
    put(tmp_path, *(f"images_{share}/{i}.JPG" for i in range(4)), size=(WIDTH // 2, HEIGHT // 2))
    write_llff(tmp_path, centres(1.0, np.zeros(3)))
    assert [camera.intrinsics[0, 0].item() for camera in opened(tmp_path).cameras] == [10.0] * 4


@pytest.mark.parametrize("kind", ["transforms", "colmap"])
def test_photos_of_one_name_in_several_folders_are_told_apart(tmp_path, kind):
    names = ["left/0.png", "left/1.png", "right/0.png"]
    put(tmp_path, *(f"images/{name}" for name in names))
    if kind == "transforms":
        listed(tmp_path, *(f"images/{name}" for name in names))
    else:
        folder = model(tmp_path / "sparse" / "0", 3)
        text = (folder / "images.txt").read_text()
        for i, name in enumerate(names):
            text = text.replace(f" {i}.png\n", f" {name}\n")
        (folder / "images.txt").write_text(text)
    assert opened(tmp_path).names == names


@pytest.mark.parametrize(("there", "left"), [(6, 6), (5, 5), (4, 4)])
def test_partial_sets_are_read_with_a_count(tmp_path, there, left):
    put(tmp_path, *(f"images/{i}.png" for i in range(there)))
    scene = opened(listed(tmp_path, *(f"images/{i}.png" for i in range(6))))
    assert len(scene) == left and scene.missing == tuple(range(there, 6))
    assert ("not there and left out" in scene.describe()) == (there < 6)


def test_sets_of_which_most_is_missing_are_refused(tmp_path):
    put(tmp_path, "images/0.png", "images/1.png")
    with pytest.raises(InputError, match=r"'images/2\.png', which does not exist"):
        open_scene(listed(tmp_path, *(f"images/{i}.png" for i in range(9))))


SPLITS = {  # words of the file, inputs, targets
    "train and test": (
        {"train_filenames": ["images/0.png", "images/2.png"], "test_filenames": ["images/1.png"]}, (0, 2), (1,)),
    "train and val": ({"train_filenames": ["images/0.png"], "val_filenames": ["images/3.png"]}, (0,), (3,)),
    "test before val": (
        {"train_filenames": ["images/0.png"], "val_filenames": ["images/1.png"], "test_filenames": ["images/2.png"]},
        (0,), (2,)),
    "backslashes": ({"train_filenames": ["images\\0.png"], "test_filenames": [".\\images\\1.png"]}, (0,), (1,)),
    "from here": ({"train_filenames": ["./images/0.png"], "test_filenames": ["./images/1.png"]}, (0,), (1,)),
    "photos that are not listed": (
        {"train_filenames": ["images/0.png", "images/99.png"], "test_filenames": ["images/1.png"]}, (0,), (1,)),
    "in both": ({"train_filenames": ["images/0.png"], "test_filenames": ["images/0.png", "images/1.png"]}, (0,), (1,)),
    "no test": ({"train_filenames": ["images/0.png"]}, (), ()),
    "empty test": ({"train_filenames": ["images/0.png"], "test_filenames": []}, (), ()),
    "null": ({"train_filenames": None, "test_filenames": None}, (), ()),
    "numbers": ({"train_filenames": [0], "test_filenames": [1]}, (), ()),
}  # fmt: skip


@pytest.mark.parametrize("case", SPLITS)
def test_nerfstudios_lists_are_the_split(tmp_path, case):
    words, inputs, targets = SPLITS[case]
    put(tmp_path, *(f"images/{i}.png" for i in range(4)))
    scene = opened(listed(tmp_path, *(f"images/{i}.png" for i in range(4)), top=words))
    assert (scene.inputs, scene.targets) == (inputs, targets)


@pytest.mark.parametrize("there", [0, 1, 3])
def test_test_poses_without_all_their_pictures(tmp_path, there):
    """None of three: a path. One: refused, for most are missing. All: targets."""
    put(tmp_path, *(f"train/{i}.png" for i in range(4)), *(f"test/{i}.png" for i in range(there)))
    listed(tmp_path, *(f"./train/{i}" for i in range(4)), name="transforms_train.json")
    listed(tmp_path, *(f"./test/{i}" for i in range(3)), name="transforms_test.json")
    if there == 1:
        with pytest.raises(InputError, match=r"'\./test/1', which does not exist"):
            open_scene(tmp_path)
        return
    scene = opened(tmp_path)
    assert scene.targets == tuple(range(4, 4 + there)) and len(scene) == 4 + there
    assert ("poses without pictures" in scene.describe()) == (there == 0)
    assert len(read_cameras(tmp_path / "transforms_test.json", size=(HEIGHT, WIDTH))) == 3


def test_files_that_systems_leave_beside_photos_are_none(tmp_path):
    put(tmp_path, "images/a.jpg", "images/b.jpg")
    for name in ("images/._a.jpg", "images/.DS_Store", "images/Thumbs.db", "images/desktop.ini"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    assert len(open_scene(tmp_path)) == 2


@pytest.mark.parametrize("suffix", [".JPG", ".Jpeg", ".PNG", ".WEBP", ".TIF", ".tiff", ".BMP", ".ppm"])
def test_photos_without_cameras_may_have_any_suffix(tmp_path, suffix):
    put(tmp_path, *(f"IMG_{i}{suffix}" for i in (9, 10)))
    assert open_scene(tmp_path).names == [f"IMG_9{suffix}", f"IMG_10{suffix}"]


@pytest.mark.parametrize("suffix", [".jpg", ".JPEG", ".webp", ".TIF"])
def test_frames_of_a_clip_may_have_any_suffix(tmp_path, suffix):
    put(tmp_path, f"walk/1000{suffix}", f"walk/2000{suffix}")
    pose = "1 0 0 {} 0 1 0 0 0 0 1 0"
    rows = [f"{1000 * (i + 1)} 1.25 1.6 0.5 0.5 0 0 {pose.format(i)}" for i in range(2)]
    (tmp_path / "walk.txt").write_text("\n".join(["https://example.org/x", *rows]))
    assert len(open_scene(tmp_path / "walk.txt")) == 2


MASKS = {  # where photos and masks lie, and whether transforms.json names the masks
    "masks of the copies, named": ("images_2", "masks_2", True),
    "masks of the copies, not named": ("images_2", "masks_2", False),
    "masks of the originals, named": ("images_4", "masks", True),
    "masks of the originals, not named": ("images_4", "masks", False),
    "masks of the copies alone": ("images", "masks_2", True),
    "masks beside the photos": ("images", "masks", False),
}


@pytest.mark.parametrize("case", MASKS)
def test_masks_of_smaller_copies_are_found_and_scaled(tmp_path, case):
    """The left half of each photo is the object, whichever size photo and mask have."""
    photos, masks, named = MASKS[case]
    share = lambda folder: int(folder.partition("_")[2] or 1)
    names = [f"{i}.png" for i in range(2)]
    put(tmp_path, *(f"{photos}/{name}" for name in names), size=(32 // share(photos), 24 // share(photos)))
    put(tmp_path, *(f"{masks}/{name}" for name in names), size=(32 // share(masks), 24 // share(masks)))
    for name in names:
        mask = np.zeros((24 // share(masks), 32 // share(masks)), "u1")
        mask[:, : mask.shape[1] // 2] = 255
        Image.fromarray(mask).save(tmp_path / masks / name)
    listed(tmp_path, *(f"images/{name}" for name in names))
    file = tmp_path / "transforms.json"
    tree = json.loads(file.read_text())
    for frame, name in zip(tree["frames"], names):
        frame |= {"mask_path": f"masks/{name}"} if named else {}
    file.write_text(json.dumps(tree))
    views = opened(tmp_path).read([0, 1])
    assert views.masks is not None and views.masks.shape[2:] == (24 // share(photos), 32 // share(photos))
    assert abs(float(views.masks.mean()) - 0.5) < 0.01 and views.masks[..., 0].min() == 1
