"""What stands against a rotation because a flag leads a component to another file than pkigen's.

The proof shows that a step breaks nothing. That is not enough for `prepare`, which breaks nothing either
where it comes to nothing: whoever reads another file does not trust the next generation, and is locked out by
`promote`. So it is asked beforehand, of every flag that names a file of what rotates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.crypto.keys import UnsupportedKeyError, load_public, public_der
from pkigen.desired.command_lines import CommandLines
from pkigen.desired.file_references import CERTIFICATE_OF, FileReference, Use, file_references
from pkigen.desired.generations import CA, ENCRYPTION_KEY, SA, Slot, ca_id, ca_location, sa_path
from pkigen.desired.items import (
    KUBECONFIG_KINDS,
    DesiredCopy,
    DesiredFile,
    DesiredKubeconfig,
    FileKind,
    MaterialKind,
)
from pkigen.desired.readers import ComponentName
from pkigen.desired.rendering.flags import flag_name
from pkigen.errors import RotationError
from pkigen.rotation.step_names import RotationStep
from pkigen.spec.model import ManagedFiles
from pkigen.state.observed import Fault, content_at, observe_bundle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pkigen.desired.inventory import Inventory
    from pkigen.desired.items import Desired
    from pkigen.state.observed import Reader


def unmanaged(
    inventory: Inventory, reader: Reader, identifiers: Collection[str], step: RotationStep
) -> RotationError | None:
    """Why these must not rotate: a component reads a file of theirs that does not rotate with them.

    Args:
        inventory: What must exist after the step.
        reader: The PKI directory as it is.
        identifiers: The ids of what rotates.
        step: Which step; the way back is always open.
    """
    if step is RotationStep.ROLLBACK:
        return None
    obstacle = next(_Unmanaged(inventory, reader, step).obstacles(identifiers), None)
    # Where pkigen writes the manifests, the flag is in the spec, and the first hint holds.
    if obstacle is None or inventory.cluster.manages(ManagedFiles.MANIFESTS):
        return obstacle
    return RotationError(
        obstacle.message,
        hint="add manifests to `manage` in the spec and `pkigen apply`: pkigen's name files of their own",
    )


class _Unmanaged:
    """The flags of the spec's own, compared with what a rotation changes."""

    def __init__(self, inventory: Inventory, reader: Reader, step: RotationStep) -> None:
        self._inventory = inventory
        self._reader = reader
        self._step = step
        self._items = {path: item for item in inventory.items for path in item.paths}

    def obstacles(self, identifiers: Collection[str]) -> Iterator[RotationError]:
        """One for each flag that leads elsewhere, the first to be told."""
        lines = CommandLines(self._inventory, self._text)
        references = [each for each in file_references(self._inventory, lines) if each.owner in identifiers]
        yield from self._led_elsewhere(references)
        # Only before anything is distributed: at a later step the nodes trust the next generation, or not.
        if self._step is RotationStep.PREPARE:
            yield from self._left_behind(references)
            if SA in identifiers:
                # The tree has the flags of before this step, which stay where pkigen does not write them.
                is_written = self._inventory.cluster.manages(ManagedFiles.MANIFESTS)
                coming = file_references(self._inventory) if is_written else references
                yield from self._of_token_keys([each for each in coming if each.use is Use.TOKEN_KEYS])

    def _led_elsewhere(self, references: list[FileReference]) -> Iterator[RotationError]:
        """Files that never hold two generations, and files that are not pkigen's to rotate."""
        for each in references:
            if each.use in _NEVER_FIT:
                yield self._refusal(each, _NEVER_FIT[each.use])
            # A file of the operator's own that is in the tree is judged by what it holds (`_left_behind`).
            elif each.path not in self._items and self._text(each.path) is None:
                yield self._refusal(each, "which pkigen does not manage: it would not rotate with the rest")

    def _left_behind(self, references: list[FileReference]) -> Iterator[RotationError]:
        """Who would not take up the next generation, although nothing breaks yet."""
        for each in references:
            if not self._follows(each):
                yield self._refusal(each, _LACKS[each.use].format(each.owner))

    def _of_token_keys(self, references: list[FileReference]) -> Iterator[RotationError]:
        """An API server that takes no tokens of the next key, whatever files its flags name."""
        for node in self._inventory.cluster.control_plane:
            found = [each for each in references if each.node == node.name]
            if not any(map(self._accepts_next, found)):
                files = " and ".join(each.file for each in found) or "no file"
                place = self._set_in(ComponentName.API_SERVER, _ACCOUNT_KEYS)
                yield RotationError(
                    f"{ComponentName.API_SERVER} on {node.name} takes tokens of the keys in {files} alone "
                    f"(--{_ACCOUNT_KEYS}): it would accept none of the next key",
                    hint=f"take {_ACCOUNT_KEYS} out of {place} and `pkigen apply`: pkigen sets it to its "
                    "own files; or put a copy of your file, with the next key in it, into the node's tree",
                )

    def _accepts_next(self, reference: FileReference) -> bool:
        """Whether a file of token keys is the next one, or a file of the operator's own that holds it."""
        match self._items.get(reference.path):
            case DesiredCopy(material=MaterialKind.SA_PUBLIC_KEY, slot=slot):
                # The file of the current key is accepted already; it is the next one that must be named.
                return slot is Slot.NEXT
            case None:
                wanted = self._public(sa_path(Slot.NEXT, layout.SA_PUBLIC_KEY))
                return wanted is not None and wanted == self._public(reference.path)
            case _:
                return False

    def _public(self, path: str) -> bytes | None:
        """The public key in a file of the tree; None where there is none."""
        text = self._text(path)
        try:
            return public_der(load_public(text)) if text is not None else None
        except UnsupportedKeyError:
            return None

    def _follows(self, reference: FileReference) -> bool:
        """Whether what a flag names changes with a rotation as it must."""
        item = self._items.get(reference.path)
        match reference.use:
            case Use.TRUST | Use.KUBECONFIG:
                return self._trusts_next(reference) if item is None else _is_trust_of(item, reference.owner)
            case Use.SIGNER:
                # The controller manager stops at start if the file holds two
                # certificates (`signer/ca_provider.go`).
                return item is None or _is_copy(item, MaterialKind.SIGNING_CERTIFICATE)
            # Of pkigen's own the renderer lists every generation of the key; any other file has its one key
            # only.
            case Use.SECRETS:
                return isinstance(item, DesiredFile) and item.kind is FileKind.ENCRYPTION_CONFIGURATION
            # Keys of tokens are judged together (`_of_token_keys`); what never fits has been refused already.
            case _:
                return True

    def _trusts_next(self, reference: FileReference) -> bool:
        """Whether an operator's own bundle holds the next CA already, which he has brought."""
        successor = ca_location(CA.of_id(reference.owner), Slot.NEXT).certificate
        wanted, held = (observe_bundle(self._reader, path) for path in (successor, reference.path))
        # The CA stands first in its file, and the chain above it follows.
        return not isinstance(wanted, Fault) and not isinstance(held, Fault) and wanted[0] in held

    def _refusal(self, reference: FileReference, why: str) -> RotationError:
        place = self._set_in(reference.component, reference.flag)
        return RotationError(f"{reference}, {why}", hint=_way_out(reference, place))

    def _set_in(self, component: ComponentName, flag: str) -> str:
        """Where somebody has set a flag of a component: in the spec, or in a template of his own."""
        templates = self._inventory.templates
        given = {flag_name(arg.name) for arg in self._inventory.cluster.spec.api_server.extra_args}
        own = component is ComponentName.API_SERVER and flag not in given
        if not own or templates is None or not templates.are_overridden:
            return "extraArgs"
        return f"the templates in {templates.folder}"

    def _text(self, path: str) -> bytes | None:
        return content_at(self._reader, path)


_LACKS = {
    Use.TRUST: "which does not hold two generations of {}",
    Use.KUBECONFIG: "which does not hold two generations of {}",
    Use.SIGNER: "which would hold two generations of {}: the controller manager accepts exactly one",
    Use.SECRETS: "which does not hold two generations of {}",
}


_ACCOUNT_KEYS = "service-account-key-file"
_NEVER_FIT = {
    Use.OTHER_KEY: "which does not change together with the certificate that it belongs to",
    Use.CONFIGURATION: "which counts more than every flag: nobody knows here what it says",
}


def _is_copy(item: Desired, material: MaterialKind) -> bool:
    """Whether pkigen makes this file as a copy of that kind."""
    return isinstance(item, DesiredCopy) and item.material is material


def _is_trust_of(item: Desired, owner: str) -> bool:
    """Whether pkigen makes this file so that it holds every generation of a CA that is trusted."""
    match item:
        case DesiredKubeconfig(trust=ca):
            return ca_id(ca) == owner
        case DesiredCopy(material=MaterialKind.TRUST_BUNDLE, ca=CA() as ca):
            return ca_id(ca) == owner
        case DesiredFile(kind=kind) if kind in KUBECONFIG_KINDS:
            return owner == ca_id(CA.KUBERNETES)  # what it names rotates
        case _:
            return False


def _way_out(reference: FileReference, place: str) -> str:
    """What an operator can do: give the flag up, or bring the next generation himself."""
    if reference.use is Use.CONFIGURATION:
        return f"take {reference.flag} out of extraArgs, or out of extraEnvs, and `pkigen apply`"
    # One flag of a pair alone would leave a certificate beside a key that is not its own.
    if reference.use is Use.OTHER_KEY:
        return (
            f"take {reference.flag} out of {place}, {CERTIFICATE_OF[reference.flag]} too, and "
            "`pkigen apply`: pkigen sets both to files of its own"
        )
    hint = f"take {reference.flag} out of {place} and `pkigen apply`: pkigen sets it to a file of its own"
    if reference.owner == ENCRYPTION_KEY:
        return hint
    what = "key" if reference.owner == SA else "CA"
    return f"{hint}; or put a copy of your file, with the next {what} in it, at {reference.path}"
