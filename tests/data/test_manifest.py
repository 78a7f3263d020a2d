"""Manifests and class folders: what is listed is found; what breaks a rule is refused with its place."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from plr_fast.data.manifest import Classes, Columns, Entry, read_csv
from plr_fast.data.manifest_folders import find_masks, scan_folders
from plr_fast.data.sources import natural_key
from plr_fast.errors import DataError

CLASSES = Classes(positive=("covid",), negative=("normal",))


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_text(text, encoding=encoding)
    return path


class TestCsv:
    def test_all_columns(self, tmp_path: Path) -> None:
        file = write(
            tmp_path / "index.csv",
            "name,class,who,part,place,key,lungs,unused\n"
            "a/1.png,COVID,Patient 7 ,Training,3,one,m/1.png,x\n"
            "a/2.png,normal,,validation,1.5,two,m/2.png,y\n"
            "./b\\3.png,,P 8,TEST,-1,three,m/3.png,z\n",
        )
        columns = Columns("name", "class", patient="who", split="part", order="place", id="key", mask="lungs")
        first, second, third = read_csv(file, CLASSES, columns).entries
        assert first == Entry(
            id="one",
            path=tmp_path / "a/1.png",
            source="a/1.png",
            label=1,
            where=f"{file}, line 2",
            class_name="COVID",
            patient="Patient 7",
            split="train",
            order=3.0,
            mask=tmp_path / "m/1.png",
        )
        assert (second.label, second.patient, second.split, second.order) == (0, "", "val", 1.5)
        assert (third.label, third.source, third.split) == (-1, "b/3.png", "test")

    def test_ids_default_to_the_files(self, tmp_path: Path) -> None:
        file = write(tmp_path / "i.csv", "file,label\nx/1.png,covid\nx/2.png,normal\n")
        assert [entry.id for entry in read_csv(file, CLASSES, Columns()).entries] == ["x/1.png", "x/2.png"]

    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
    @pytest.mark.parametrize("newline", ["\n", "\r\n"])
    def test_dialects(self, tmp_path: Path, delimiter: str, encoding: str, newline: str) -> None:
        rows = [["file", "label"], ['"1, a; b.png"', "covid"], ["ž.png", "normal"], [""]]
        text = newline.join(delimiter.join(row) for row in rows)
        (tmp_path / "i.csv").write_bytes(text.encode(encoding))
        listing = read_csv(tmp_path / "i.csv", CLASSES, Columns())
        assert [entry.source for entry in listing.entries] == ["1, a; b.png", "ž.png"]

    def test_excluded_labels_are_counted(self, tmp_path: Path) -> None:
        file = write(tmp_path / "i.csv", "file,label\n1.png,covid\n2.png,cap\n3.png,normal\n4.png,CAP\n5.png,?\n")
        classes = Classes(("covid",), ("normal",), unlabelled=("?",), exclude=("cap",))
        listing = read_csv(file, classes, Columns())
        assert [(entry.source, entry.label) for entry in listing.entries] == [("1.png", 1), ("3.png", 0), ("5.png", -1)]
        assert listing.notes == ("2 rows were left out by their label ('cap')",)

    def test_no_label_column(self, tmp_path: Path) -> None:
        file = write(tmp_path / "i.csv", "file\n1.png\n")
        (entry,) = read_csv(file, Classes((), ()), Columns(label="")).entries
        assert entry.label == -1

    def test_another_root(self, tmp_path: Path) -> None:
        (tmp_path / "lists").mkdir()
        file = write(tmp_path / "lists" / "i.csv", f"file,label\npics/1.png,covid\n{tmp_path}/2.png,normal\n")
        listing = read_csv(file, CLASSES, Columns(), root=tmp_path)
        assert [entry.path for entry in listing.entries] == [tmp_path / "pics/1.png", tmp_path / "2.png"]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("file,class\n1.png,covid\n", "has no column 'label'; its columns are file, class"),
            ("file,labels\n1.png,covid\n", "did you mean 'labels'"),
            ("file,label,file\n1.png,covid,2.png\n", "the column 'file' occurs twice"),
            ("", "is empty; its first line must name the columns"),
            ("file,label\n", "has a header but no rows"),
            ("file,label\n1.png,covid\n2.png\n", "line 3: 1 fields, but the header has 2"),
            ("file,label\n1.png,covid,x\n", "line 2: 3 fields"),
            ('file,label\n1.png,"covid\n', "line 2: unexpected end of data"),
            ("file,label\n1.png,covid\n2.png,flu\n", "line 3: the label 'flu' is neither.*'covid', 'flu'.*--exclude"),
            ("file,label\n1.png,covid\n", "no row has the negative label 'normal'.*'covid'.*set --negative"),
            ("file,label\n1.png,covid\n,normal\n", "line 3: a file name is empty"),
            ("file,label\n1.png,covid\n1.png,normal\n", r"line 3: the id '1\.png' occurs already at .*line 2"),
            ("file,label\n1.png,covid\n../2.png,normal\n", r"line 3: '\.\./2\.png' lies outside .*--root"),
            ("file,label\n1.png,covid\na/../../2.png,normal\n", "lies outside"),
            ("file,label\n1.png,covid\n..\\2.png,normal\n", "lies outside"),
            ("file,label\n1.png,covid\n/etc/passwd,normal\n", "line 3: '/etc/passwd' lies outside"),
        ],
    )
    def test_broken_rules(self, tmp_path: Path, text: str, message: str) -> None:
        (tmp_path / "data").mkdir()
        file = write(tmp_path / "data" / "i.csv", text)
        with pytest.raises(DataError, match=message) as caught:
            read_csv(file, CLASSES, Columns())
        assert "i.csv" in str(caught.value)

    @pytest.mark.parametrize(
        ("columns", "rows", "message"),
        [
            ({"split": "s"}, "1.png,covid,trainn", "the split 'trainn' is none of train"),
            ({"split": "s"}, "1.png,covid,", "the split '' is none of"),
            ({"order": "s"}, "1.png,covid,third", "s is 'third', not a number"),
            ({"order": "s"}, "1.png,covid,nan", "s is 'nan', not a number"),
            ({"mask": "s"}, "1.png,covid,", "a file name is empty"),
            ({"mask": "s"}, "1.png,covid,../m.png", "lies outside"),
            ({"id": "s"}, "1.png,covid,", "the id is empty"),
            ({"id": "s"}, "1.png,covid,a\n2.png,normal,a", "the id 'a' occurs already at"),
            ({"id": "s"}, "1.png,covid,a\n./1.png,normal,b", r"the file '1\.png' occurs already at"),
        ],
    )
    def test_broken_values(self, tmp_path: Path, columns: dict[str, str], rows: str, message: str) -> None:
        file = write(tmp_path / "i.csv", f"file,label,s\n{rows}\n")
        with pytest.raises(DataError, match=message):
            read_csv(file, Classes(("covid", "normal"), ()), Columns(**columns))

    def test_a_link_that_leads_outside(self, tmp_path: Path) -> None:
        (tmp_path / "secret.png").write_bytes(b"x")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "1.png").symlink_to(tmp_path / "secret.png")
        file = write(tmp_path / "data" / "i.csv", "file,label\n1.png,covid\n")
        with pytest.raises(DataError, match="lies outside"):
            read_csv(file, Classes(("covid",), ()), Columns())

    def test_a_root_that_is_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "data")
        write(tmp_path / "data" / "i.csv", "file,label\n1.png,covid\n")
        assert len(read_csv(tmp_path / "link" / "i.csv", Classes(("covid",), ()), Columns()).entries) == 1

    def test_not_utf8(self, tmp_path: Path) -> None:
        file = write(tmp_path / "i.csv", "file,label\nž.png,covid\n", encoding="cp1250")
        with pytest.raises(DataError, match=r"i\.csv is not UTF-8 text \(byte \d+\)"):
            read_csv(file, CLASSES, Columns())

    def test_missing_manifest(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"none\.csv cannot be read: No such file"):
            read_csv(tmp_path / "none.csv", CLASSES, Columns())

    @pytest.mark.parametrize(
        ("classes", "message"),
        [
            (Classes(("a",), ("A",)), "the class 'A' is named twice"),
            (Classes(("a",), ("b",), exclude=("a",)), "the class 'a' is named twice"),
        ],
    )
    def test_classes_that_contradict(self, classes: Classes, message: str) -> None:
        with pytest.raises(DataError, match=message):
            classes.table()


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


class TestFolders:
    def test_natural_order_and_labels(self, tmp_path: Path) -> None:
        touch(tmp_path, "COVID/c 10.png", "COVID/c 9.PNG", "COVID/c 1.jpeg", "normal/sub/n.tif", "normal/a.png")
        listing = scan_folders(tmp_path, CLASSES)
        assert [(entry.id, entry.label, entry.order) for entry in listing.entries] == [
            ("COVID/c 1.jpeg", 1, 0.0),
            ("COVID/c 9.PNG", 1, 1.0),
            ("COVID/c 10.png", 1, 2.0),
            ("normal/a.png", 0, 0.0),
            ("normal/sub/n.tif", 0, 1.0),
        ]
        assert {entry.class_name for entry in listing.entries} == {"COVID", "normal"}
        assert {entry.patient for entry in listing.entries} == {""}
        assert listing.notes == ()

    def test_what_is_passed_over_is_said(self, tmp_path: Path) -> None:
        touch(tmp_path, "covid/1.png", "covid/Thumbs.db", "covid/.DS_Store", "covid/.trash/2.png", "normal/1.png")
        touch(tmp_path, "pneumonia/1.png", "index.csv", ".cache/1.png")
        listing = scan_folders(tmp_path, CLASSES)
        assert len(listing.entries) == 2
        first, second = listing.notes
        assert "1 files are no pictures and were passed over ('Thumbs.db')" in first
        assert "folders that name no class were passed over ('pneumonia')" in second

    def test_patient_folders(self, tmp_path: Path) -> None:
        touch(tmp_path, "covid/p1/a.png", "covid/p1/scan 2/b.png", "normal/p9/a.png")
        listing = scan_folders(tmp_path, CLASSES, patient_folders=True)
        assert [entry.patient for entry in listing.entries] == ["p1", "p1", "p9"]

    def test_a_picture_in_no_patient_folder(self, tmp_path: Path) -> None:
        touch(tmp_path, "covid/a.png", "normal/p9/a.png")
        with pytest.raises(DataError, match=r"covid/a\.png lies in no patient folder"):
            scan_folders(tmp_path, CLASSES, patient_folders=True)

    def test_several_names_and_excluded_ones(self, tmp_path: Path) -> None:
        touch(tmp_path, "mild/1.png", "severe/1.png", "normal/1.png", "new/1.png", "cap/1.png")
        classes = Classes(("mild", "severe"), ("normal",), unlabelled=("new",), exclude=("cap",))
        listing = scan_folders(tmp_path, classes)
        assert {entry.id: entry.label for entry in listing.entries} == {
            "mild/1.png": 1,
            "severe/1.png": 1,
            "normal/1.png": 0,
            "new/1.png": -1,
        }
        assert listing.notes == ()

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (["covid/1.png", "healthy/1.png"], "has no folder 'normal'; its folders are 'covid', 'healthy'"),
            (["covid/1.png", "normal/readme.txt"], "normal holds no pictures"),
        ],
    )
    def test_missing_classes(self, tmp_path: Path, names: list[str], message: str) -> None:
        touch(tmp_path, *names)
        with pytest.raises(DataError, match=message):
            scan_folders(tmp_path, CLASSES)

    def test_no_class(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no class folder is named"):
            scan_folders(tmp_path, Classes((), (), exclude=("cap",)))

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="is not a folder"):
            scan_folders(tmp_path / "none", CLASSES)

    def test_links_in_a_circle(self, tmp_path: Path) -> None:
        touch(tmp_path, "covid/1.png", "normal/1.png")
        (tmp_path / "covid" / "again").symlink_to(tmp_path / "covid")
        assert len(scan_folders(tmp_path, CLASSES).entries) == 2

    @pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names themselves")
    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        touch(tmp_path, "covid/1.png", "normal/1.png")
        with open(os.fsencode(tmp_path) + b"/covid/\xff.png", "wb"):  # noqa: PTH123
            pass
        with pytest.raises(DataError, match="is not valid UTF-8; rename the file"):
            scan_folders(tmp_path, CLASSES)

    def test_natural_key(self) -> None:
        names = ["b2", "a10", "A9", "a9b", "a", "a²"]
        assert sorted(names, key=natural_key) == ["a", "A9", "a9b", "a10", "a²", "b2"]


class TestMasks:
    @staticmethod
    def entries(*sources: str) -> list[Entry]:
        return [Entry(source, Path(source), source, 0, "here") for source in sources]

    def test_same_name_or_same_stem(self, tmp_path: Path) -> None:
        touch(tmp_path, "covid/1.png", "covid/2.tif", "covid/3.txt")
        found = find_masks(self.entries("covid/1.png", "covid/2.jpg"), tmp_path)
        assert found == {"covid/1.png": tmp_path / "covid/1.png", "covid/2.jpg": tmp_path / "covid/2.tif"}

    @pytest.mark.parametrize("sources", [["covid/1.png", "covid/9.png"], ["covid/9.png"]])
    def test_missing_masks_are_named(self, tmp_path: Path, sources: list[str]) -> None:
        touch(tmp_path, "covid/1.png")
        with pytest.raises(DataError, match=r"1 pictures have no mask in .*: 'covid/9\.png'"):
            find_masks(self.entries(*sources), tmp_path)

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="does not exist"):
            find_masks([], tmp_path / "none")


def test_long_lists_are_cut_short(tmp_path: Path) -> None:
    rows = "".join(f"{number}.png,class{number:02d}\n" for number in range(30))
    file = write(tmp_path / "i.csv", "file,label\n" + rows)
    with pytest.raises(DataError, match="'class07' and 22 more"):
        read_csv(file, CLASSES, Columns())


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "columns", "covid", "normal"),
    [
        ("sars_cov2_ct", {"order": "order"}, 1252, 1229),
        ("ucsd_covid_ct", {"patient": "patient_id", "split": "official_split"}, 349, 397),
    ],
)
def test_real_manifests(real_data: Path, name: str, columns: dict[str, Any], covid: int, normal: int) -> None:
    listing = read_csv(real_data / "ct" / name / "index.csv", CLASSES, Columns(**columns))
    labels = [entry.label for entry in listing.entries]
    assert (labels.count(1), labels.count(0)) == (covid, normal)
    assert all(entry.path.is_file() for entry in listing.entries)
