"""The archive reader against a thousand and more archives that it must not believe."""

from __future__ import annotations

import io
import random
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pkigen.airgap.bundles.opened import MANIFEST, archive_of, entries_of
from pkigen.airgap.carrier import archive
from pkigen.airgap.carrier.archive import LARGEST_ARCHIVE, LARGEST_FILE, MOST_FILES, Member, decode, encode
from pkigen.airgap.carrier.format import encode_manifest
from pkigen.errors import BundleError
from tests.airgap.bundles.bundle_site import put
from tests.samples import snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.airgap.bundles.bundle_site import BundleSite

MEMBERS = (
    Member(path="etc/kubernetes/pki/ca.crt", mode=0o644, data=b"c" * 700),
    Member(path="etc/kubernetes/pki/" + "n" * 60 + "/" + "m" * 60 + ".key", mode=0o600, data=b""),
    Member(path="var/lib/kubelet/config.yaml", mode=0o600, data=b"x" * 512),
)


def test_what_is_written_is_read() -> None:
    assert tuple(decode(encode(MEMBERS))) == MEMBERS
    assert tuple(decode(encode(()))) == ()


def test_any_tar_lists_it_as_roots_and_from_the_beginning_of_time() -> None:
    with tarfile.open(fileobj=io.BytesIO(encode(MEMBERS))) as tar:
        found = tar.getmembers()
        assert [(each.name, each.mode, each.size) for each in found] == [
            (each.path, each.mode, len(each.data)) for each in MEMBERS
        ]
        assert {(each.uid, each.gid, each.uname, each.gname, each.mtime) for each in found} == {
            (0, 0, "root", "root", 0)
        }
        assert [tar.extractfile(each).read() for each in found] == [each.data for each in MEMBERS]  # type: ignore[union-attr]


def made_by_tarfile(change: Callable[[tarfile.TarInfo], None], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive with one hostile member, made by a program that allows everything."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        info = tarfile.TarInfo("etc/kubernetes/pki/ca.crt")
        info.mode, info.uname, info.gname = 0o644, "root", "root"
        info.size = 4
        change(info)
        if info.isreg() and info.size != 4:
            out.write(info.tobuf(form))  # what it announces is not there; since Python 3.13 addfile objects
        else:
            tar.addfile(info, io.BytesIO(b"data") if info.isreg() else None)
    return out.getvalue()


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("name", "../etc/passwd", "leads upwards"),
        ("name", "etc/../../passwd", "leads upwards"),
        ("name", "/etc/passwd", "is absolute"),
        ("name", "etc//passwd", "has an empty component"),
        ("name", "./etc/passwd", "has an empty component"),
        ("name", "etc\\passwd", "has characters"),
        ("name", "etc/pass\nwd", "has characters"),
        ("type", tarfile.SYMTYPE, "contains a symbolic link"),
        ("type", tarfile.LNKTYPE, "contains a hard link"),
        ("type", tarfile.CHRTYPE, "contains a character device"),
        ("type", tarfile.BLKTYPE, "contains a block device"),
        ("type", tarfile.FIFOTYPE, "contains a FIFO"),
        ("type", tarfile.DIRTYPE, "contains a directory"),
        ("type", b"7", "contains something unknown"),
        ("type", tarfile.XHDTYPE, "contains an extended header"),
        ("type", tarfile.XGLTYPE, "contains a global extended header"),
        ("type", tarfile.GNUTYPE_LONGNAME, "contains a long name"),
        ("type", tarfile.GNUTYPE_LONGLINK, "contains a long link name"),
        ("type", tarfile.GNUTYPE_SPARSE, "contains a sparse file"),
        ("type", tarfile.AREGTYPE, "contains something unknown"),
        ("mode", 0o4755, "a mode that no file"),
        ("mode", 0o666, "a mode that no file"),
        ("uid", 1000, "is not what pkigen writes"),
        ("mtime", 1, "is not what pkigen writes"),
        ("uname", "games", "is not what pkigen writes"),
        ("linkname", "/etc/passwd", "is not what pkigen writes"),
        ("size", 2**31, "larger than"),
        ("size", 2**33 - 1, "larger than"),
        ("size", LARGEST_FILE + 1, "larger than"),
    ],
)
def test_hostile_members(attribute: str, value: object, said: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        setattr(info, attribute, value)
        info.size = info.size if info.isreg() else 0

    with pytest.raises(BundleError, match=said):
        tuple(decode(made_by_tarfile(change)))


def test_sizes_beyond_octal_and_other_kinds_of_tar() -> None:
    def huge(info: tarfile.TarInfo) -> None:
        info.size = 2**40

    with pytest.raises(BundleError, match="not in pkigen's canonical form"):
        tuple(decode(made_by_tarfile(huge, tarfile.GNU_FORMAT)))
    negative = bytearray(encode(MEMBERS))
    negative[124:136] = b"\xff" * 12
    with pytest.raises(BundleError, match="larger than"):
        tuple(decode(bytes(negative)))

    def long(info: tarfile.TarInfo) -> None:
        info.name = "é" * 90

    with pytest.raises(BundleError, match="contains an extended header"):
        tuple(decode(made_by_tarfile(long, tarfile.PAX_FORMAT)))


@pytest.mark.parametrize("wrapped", ["gz", "bz2", "xz"])
def test_nothing_is_ever_decompressed(wrapped: str) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=f"w:{wrapped}") as tar:  # type: ignore[call-overload]
        tar.addfile(tarfile.TarInfo("x"), io.BytesIO())
    with pytest.raises(BundleError):
        tuple(decode(out.getvalue()))


def test_bombs_are_refused_by_their_size() -> None:
    small = tuple(Member(path=f"etc/f{number}", mode=0o600, data=b"") for number in range(MOST_FILES + 1))
    with pytest.raises(BundleError, match="more than"):
        tuple(decode(encode(small)))
    assert len(tuple(decode(encode(small[:-1])))) == MOST_FILES
    with pytest.raises(BundleError, match="larger than"):
        encode((replace(MEMBERS[0], data=bytes(LARGEST_FILE + 1)),))
    with pytest.raises(BundleError, match="the archive is larger"):
        tuple(decode(bytes(LARGEST_ARCHIVE + 1)))
    with pytest.raises(BundleError, match="too long"):
        encode((replace(MEMBERS[0], path="n" * 101),))


@pytest.mark.parametrize("cut", [1, 511, 512, 513, 1023, 1024, 1025, 2000])
def test_cut_and_lengthened(cut: int) -> None:
    whole = encode(MEMBERS)
    for data in (whole[:-cut], whole[: len(whole) - len(whole) % 512 - 512 * 2 - cut], whole + bytes(cut)):
        with pytest.raises(BundleError):
            tuple(decode(data))


MUTATIONS = 1500


@pytest.mark.sweep
def test_mutated_archives_write_nothing_outside(site: BundleSite, node: Path) -> None:
    """Archives with arbitrary changes, signed with the right key and sealed for the right node.

    What is not refused names the same files with the same bytes: a word in the manifest's advice was changed.
    """
    packed = site.packed("worker-1")
    label = packed.label(created=site.world.now, reader="nobody")
    chance = random.Random(20260301)  # noqa: S311 -- repeatable, not secret
    outside = node.parent / "outside"
    outside.mkdir()
    (outside / "witness").write_text("untouched")
    before = snapshot(node.parent)
    good = site.opened(site.closed(label, packed.archive), "worker-1")
    refused = harmless = 0
    for number in range(MUTATIONS):
        data = bytearray(packed.archive)
        _mutate(data, chance, number)
        if data == packed.archive:
            continue
        try:
            found = site.opened(site.closed(label, bytes(data)), "worker-1")
        except BundleError:
            refused += 1
            continue
        assert (found.manifest.files, found.files) == (good.manifest.files, good.files)
        harmless += 1
    print(f"mutated archives: {refused} refused, {harmless} differ in their advice only")  # noqa: T201
    assert refused > 1200
    assert harmless < 30
    assert snapshot(node.parent) == before
    assert list(node.iterdir()) == []
    put(good, node)
    assert (node / "etc/kubernetes/pki/ca.crt").exists()


_WORDS = (b"../", b"/", b"\0", b"2", b"\x80", b"77777777777", b"etc/passwd", b"..", b"\n", b"5", b"x")


def _mutate(data: bytearray, chance: random.Random, number: int) -> None:
    headers = [start for start in range(0, len(data), 512) if data[start + 257 : start + 262] == b"ustar"]
    start = chance.choice(headers)
    match number % 6:
        case 0:  # one bit, anywhere
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        case 1:  # a word into a header, the check sum made right again
            at = start + chance.choice((0, 0, 0, 100, 108, 124, 156, 157, 265, 345))
            word = chance.choice(_WORDS)
            data[at : at + len(word)] = word
            block = bytes(data[start : start + 148]) + b" " * 8 + bytes(data[start + 156 : start + 512])
            data[start + 148 : start + 156] = f"{sum(block):06o}\0 ".encode()
        case 2:  # a member twice, or somewhere else
            other = chance.choice(headers)
            data[other:other] = data[start : start + 1024]
        case 3:  # a piece taken out
            del data[start : start + 512 * chance.randrange(1, 4)]
        case 4:  # cut
            del data[chance.randrange(len(data)) :]
        case _:  # noise
            at = chance.randrange(len(data) - 64)
            data[at : at + 64] = chance.randbytes(64)


HOSTILE_PATHS = [
    ("etc/kubernetes/pki/ca.crt", "twice"),
    ("etc/kubernetes/pki/CA.crt", "differs only in case"),
    ("etc/passwd", "not a known file of a Kubernetes node"),
    ("etc/kubernetes/manifests/../../shadow", "leads upwards"),
    ("root/.ssh/authorized_keys", "not a known file of a Kubernetes node"),
    ("etc/systemd/system/sshd.service", "not a known file of a Kubernetes node"),
    ("etc/kubernetes/pki/deep/er/x.key", "not a known file of a Kubernetes node"),
    ("etc/kubernetes/pki/.hidden.key", "not a known file of a Kubernetes node"),
    ("var/lib/pkigen/installed.json", "not a known file of a Kubernetes node"),
    ("var/lib/pkigen/store/journal", "not a known file of a Kubernetes node"),
    ("var/lib/pkigen/identity.age", "not a known file of a Kubernetes node"),
    ("etc/cron.d/x", "not a known file of a Kubernetes node"),
    ("var/lib/kubelet/pki/kubelet-client-current.pem", "not a known file of a Kubernetes node"),
]


@pytest.mark.parametrize(("path", "said"), HOSTILE_PATHS)
def test_a_signed_manifest_cannot_name_other_paths(
    site: BundleSite, node: Path, path: str, said: str
) -> None:
    """Not even the cluster's own key may write elsewhere: whoever has it does not own the nodes."""
    packed = site.packed("worker-1")
    files = list(decode(packed.archive))[1:]
    files.append(Member(path=path, mode=0o600, data=b"evil"))
    manifest = replace(packed.manifest, files=entries_of(files))
    head = Member(path=MANIFEST, mode=0o600, data=encode_manifest(manifest))
    label = packed.label(created=site.world.now, reader="nobody")
    data = site.closed(label, _unchecked((head, *files)))
    with pytest.raises(BundleError, match=said):
        put(site.opened(data, "worker-1"), node)
    assert list(node.iterdir()) == []


def test_a_file_cannot_be_a_directory_too(site: BundleSite) -> None:
    files = [
        Member(path="etc/kubernetes/pki/etcd.crt", mode=0o644, data=b""),
        Member(path="etc/kubernetes/pki/etcd.crt/x.crt", mode=0o644, data=b""),
    ]
    packed = site.packed("worker-1")
    manifest = replace(packed.manifest, files=entries_of(files))
    label = packed.label(created=site.world.now, reader="nobody")
    data = site.closed(label, archive_of(manifest, {each.path: each.data for each in files}))
    with pytest.raises(
        BundleError, match=r"not a known file of a Kubernetes node|as a file and as a directory"
    ):
        site.opened(data, "worker-1")


def test_the_manifest_must_be_there_and_agree(site: BundleSite) -> None:
    packed = site.packed("worker-1")
    label = packed.label(created=site.world.now, reader="nobody")
    members = tuple(decode(packed.archive))
    for data, said in (
        (encode(()), "does not begin with its manifest"),
        (encode(members[1:]), "does not begin with its manifest"),
        (encode(members[:-1]), "differ from its manifest"),
        (encode((members[0], *members[2:], members[1])), "differ from its manifest"),
        (
            encode((replace(members[0], data=members[0].data + b" "), *members[1:])),
            "manifest is not in pkigen's canonical form",
        ),
        (
            encode((replace(members[0], data=b"{}"), *members[1:])),
            "manifest is not in pkigen's canonical form",
        ),
        (
            encode((replace(members[0], data=b"[" * 5000), *members[1:])),
            "manifest is not in pkigen's canonical form",
        ),
    ):
        with pytest.raises(BundleError, match=said):
            site.opened(site.closed(label, data), "worker-1")
    other = replace(label, serial=label.serial + 1)
    with pytest.raises(BundleError, match="label and manifest differ"):
        site.opened(site.closed(other, packed.archive), "worker-1")


def _unchecked(members: tuple[Member, ...]) -> bytes:
    """An archive with whatever paths."""
    return b"".join(
        archive._header(each.path, len(each.data), each.mode) + archive._padded(each.data)  # noqa: SLF001
        for each in members
    ) + bytes(1024)
