"""What an operator does after a step of a rotation: what goes where, what restarts, how to see that it took.

Everything here is written for this cluster: its nodes, addresses and certificates, and how it runs things.
"""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

from pkigen import layout
from pkigen.cli.reports.cluster_text import cluster_lines
from pkigen.cli.reports.plan_text import step_text
from pkigen.cli.reports.tables import page
from pkigen.desired.certificates import ADMIN
from pkigen.desired.endpoints import endpoints
from pkigen.desired.generations import CA, SA, KeyPairFiles, Phase, ca_id
from pkigen.desired.readers import Reading
from pkigen.reconcile.plan import Remove
from pkigen.reconcile.rollout import StepKind, changed_files, evidence, rollout
from pkigen.rotation.phases import COMMANDS, NEXT_STEP
from pkigen.rotation.step_names import RotationStep
from pkigen.spec.certificates import Kubeconfigs
from pkigen.state.authority import look_at_all
from pkigen.state.materials import discovery_hash
from pkigen.state.observed import content_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from pkigen.desired.inventory import Inventory
    from pkigen.reconcile.plan import Plan
    from pkigen.state.observed import Reader

_TRUSTS = {
    RotationStep.PREPARE: "both CAs",
    RotationStep.PROMOTE: "both CAs",
    RotationStep.FINISH: "the new CA alone",
    RotationStep.ROLLBACK: "the CAs that are trusted now",
}

_PUBLISHED_CAS = (
    '{{range .items}}namespace {{.metadata.namespace}}{{"\\n"}}{{index .data "ca.crt"}}{{"\\n"}}{{end}}'
)
# How many CAs each namespace has, of what the template above has printed.
_COUNT_CAS = (
    "awk '/^namespace / {of = $2; cas[of] = 0} /BEGIN CERTIFICATE/ {cas[of]++} "
    "END {for (of in cas) print of, cas[of]}'"
)
_WITH_CA_BUNDLE = (
    "validatingwebhookconfigurations,mutatingwebhookconfigurations,apiservices,customresourcedefinitions"
)
# Each CA bundle with whose it is: these kinds have it in three different places.
_CA_BUNDLES = (
    '{{range .items}}{{$of := printf "%s/%s" .kind .metadata.name}}'
    '{{range .webhooks}}{{with .clientConfig.caBundle}}{{$of}} {{.}}{{"\\n"}}{{end}}{{end}}'
    '{{with .spec}}{{with .caBundle}}{{$of}} {{.}}{{"\\n"}}{{end}}'
    "{{with .conversion}}{{with .webhook}}{{with .clientConfig}}{{with .caBundle}}"
    '{{$of}} {{.}}{{"\\n"}}{{end}}{{end}}{{end}}{{end}}{{end}}{{end}}'
)
_SHOW_CA_BUNDLES = (
    'sort -u | while read -r of bundle; do echo "$of"; echo "$bundle" | base64 -d | '
    "openssl crl2pkcs7 -nocrl -certfile /dev/stdin | openssl pkcs7 -print_certs -noout; done"
)
_CA_BUNDLE_PATHS = (
    ("validatingwebhookconfiguration", "/webhooks/0/clientConfig/caBundle"),
    ("mutatingwebhookconfiguration", "/webhooks/0/clientConfig/caBundle"),
    ("apiservice", "/spec/caBundle"),
    ("customresourcedefinition", "/spec/conversion/webhook/clientConfig/caBundle"),
)


def rotation_runbook(
    inventory: Inventory,
    reader: Reader,
    plan: Plan,
    *,
    identifiers: Sequence[str],
    step: RotationStep,
    now: datetime,
    root: str,
) -> str:
    """The runbook of one step, as numbered text."""
    book = _RotationRunbook(inventory, reader, plan, identifiers, step, now, root)
    lines = [f"cluster {inventory.cluster.name}: after `{step}` of {', '.join(identifiers)}", ""]
    for number, (title, *body) in enumerate(book.sections(), start=1):
        lines += [f"{number}. {title}", *(f"   {line}".rstrip() for line in body), ""]
    return page(lines) + "\n"


class _RotationRunbook:
    def __init__(
        self,
        inventory: Inventory,
        reader: Reader,
        plan: Plan,
        identifiers: Sequence[str],
        step: RotationStep,
        now: datetime,
        root: str,
    ) -> None:
        self._inventory = inventory
        self._reader = reader
        self._changes = plan.changes
        self._in_cluster_steps = plan.in_cluster
        self._root = root
        self._identifiers = identifiers
        self._step = step
        self._now = now
        self._spec = inventory.cluster.spec
        first = inventory.cluster.control_plane[0].name
        self._where = "commands that begin with nodes/ or kubectl run where this PKI directory is"
        admin = inventory.certificates[ADMIN.id_on(first)]
        self._kubectl = f"kubectl --kubeconfig {admin.file}"
        if admin.key_is_elsewhere:
            self._kubectl = f"kubectl --kubeconfig {_on_node(admin.file, first)}"
            self._where = f"commands that begin with kubectl run on {first}, which alone has the key they use"
        self._bundle = inventory.pki_path(first, "ca.crt")
        steps = rollout(inventory, plan.changes, reader)
        # Only the copies in front: a step of etcd brings its member's files itself, one member at a time.
        # What may lie there before anything restarts; a later copy belongs to the step behind it.
        self._copied_first = tuple(takewhile(lambda step: step.kind is StepKind.COPY, steps))
        self._then = steps[len(self._copied_first) :]

    def sections(self) -> Iterator[list[str]]:
        yield self._before()
        yield self._copy()
        yield self._restarts()
        yield self._see()
        yield from self._in_the_cluster()
        yield self._afterwards()

    # -- on the nodes ---------------------------------------------------------------------------------

    def _before(self) -> list[str]:
        """What the step takes for granted of the one before it."""
        lines = ["before anything else:"]
        if self._step is RotationStep.PREPARE:
            lines.append("nothing: every file of this step works with every file from before it")
        else:
            lines.append(
                "every node must have the files of the previous step, and have restarted what it named"
            )
        lines.append(self._where)
        return lines

    def _copy(self) -> list[str]:
        changed, people = changed_files(self._changes), self._handed_out()
        lines = ["copy to each of these nodes, one after the other; what starts something comes in step 3:"]
        lines += [command for step in self._copied_first for command in step.commands]
        for files, nodes in _grouped(changed).items():
            lines += [f"what changes on {', '.join(nodes)}:", *(f"  {path}" for path in files)]
        lines += [f"{path} goes to its owner" for path in people]
        if self._changes_read_per_connection(changed):
            lines += [
                "etcd, and API servers towards kubelets and etcd, read a certificate and its key again for",
                "every connection: while only one of them is new, connections fail and are retried",
                "(rotate with --reuse-keys avoids it)",
            ]
        if not changed and not people:
            lines.append("nothing has to be distributed")
        return lines

    def _handed_out(self) -> list[str]:
        """The kubeconfigs that go to people."""
        return sorted(
            path
            for change in self._changes
            if change.node is None and not isinstance(change, Remove)
            for path in change.paths
            if path.startswith(f"{layout.USERS}/")
        )

    def _changes_read_per_connection(self, changed: Mapping[str, Sequence[str]]) -> bool:
        """Whether a key is new that somebody reads in the very moment in which its certificate is not yet."""
        return any(
            _on_node(item.location.key, item.node) in changed.get(item.node, ())
            for item in self._inventory.certificates.values()
            if item.node is not None and isinstance(item.location, KeyPairFiles)
            if any(reader.reading is Reading.PER_CONNECTION for reader in item.kind.readers)
        )

    def _restarts(self) -> list[str]:
        lines = ["restart on one node at a time, and continue when it is healthy again:"]
        for step in self._then:
            if step.kind is StepKind.COPY:
                lines += [f"copy to {step.node}:", *(f"  {command}" for command in step.commands)]
            elif step.restart is not None:
                lines.append(f"{step.number}. {step.node}: {step_text(step.restart)}")
                lines += [f"  {command}" for command in step.commands]
                lines += [f"  {step.health.command}"] if step.health is not None else []
        if len(lines) == 1:
            lines.append("nothing has to restart")
        if self._spec.certificates.kubeconfigs is Kubeconfigs.FILES:
            lines += [
                # client-go transport/cert_rotation.go, `CertCallbackRefreshDuration`.
                "credentials that kubeconfigs name by path are looked at every five minutes: wait that long",
                "before the next step",
            ]
        lines.append("the same as a script: restart.sh NODE STEP")
        return lines

    def _text(self, path: str) -> bytes | None:
        return content_at(self._reader, path)

    def _see(self) -> list[str]:
        lines = ["check: each endpoint must now serve this certificate (SHA-256):"]
        for node, seen in evidence(self._inventory, self._reader):
            if seen.sha256 is not None:
                lines.append(f"{seen.component} on {node}, {seen.address}: {seen.sha256}")
        first = next(endpoints(self._inventory, self._text))
        lines += [
            "all at once: pkigen verify --live",
            (
                f"one of them: openssl s_client -connect {first.address} </dev/null 2>/dev/null | "
                "openssl x509 -noout -fingerprint -sha256"
            ),
        ]
        return lines

    # -- in the cluster -------------------------------------------------------------------------------

    def _in_the_cluster(self) -> Iterator[list[str]]:
        if ca_id(CA.KUBERNETES) in self._identifiers:
            yield self._discovery()
            yield [
                "in the cluster, once every API server and controller manager has the new files:",
                *self._trust(),
            ]
        if {ca_id(CA.KUBERNETES), ca_id(CA.FRONT_PROXY)} & set(self._identifiers):
            yield self._published_to_extensions()
        if SA in self._identifiers:
            yield self._service_accounts()
        # The ClusterTrustBundle among them, for Pods that project it; what another key encrypts now.
        if self._in_cluster_steps:
            lines = cluster_lines(self._in_cluster_steps, self._root)
            yield [
                "what the cluster is to hold, once every API server has the new files:",
                *(line.text for line in lines),
            ]

    def _discovery(self) -> list[str]:
        authorities, _ = look_at_all(self._reader, self._inventory, now=self._now)
        found = authorities.get(CA.KUBERNETES)
        anchors = found.anchors if found is not None else ()
        return [
            "nodes that join pin the CA by a discovery hash; the first is the signing CA's:",
            *map(discovery_hash, anchors),
        ]

    def _trust(self) -> Iterator[str]:
        kubectl = self._kubectl
        yield f"# what joining nodes discover, if the cluster has it: it must hold {_TRUSTS[self._step]}"
        yield (
            f"{kubectl} -n kube-public get configmap cluster-info -o yaml | "
            f'sed "s/\\(certificate-authority-data:\\).*/\\1 $(base64 -w0 {self._bundle})/" | '
            f"{kubectl} apply -f -"
        )
        count = 1 if self._inventory.rotations.phase(ca_id(CA.KUBERNETES)) is Phase.STABLE else 2
        yield (
            # pkg/controller/certificates/rootcacertpublisher; the controller manager reads --root-ca-file at
            # its start alone.
            "# what Pods trust, as the controller manager publishes after its restart: each namespace must "
            f"count {count}"
        )
        yield (
            f"{kubectl} get configmap -A --field-selector metadata.name=kube-root-ca.crt "
            f"-o go-template='{_PUBLISHED_CAS}' | {_COUNT_CAS}"
        )
        # `</dev/null`: what runs in the loop must not read the list that the loop reads.
        if self._step is RotationStep.PREPARE:
            yield "# Pods whose programs read it only at their start, before `promote`"
            yield (
                f"{kubectl} get deployment,daemonset,statefulset -A --no-headers "
                "-o custom-columns=N:.metadata.namespace,K:.kind,M:.metadata.name | "
                f'while read -r n k m; do {kubectl} -n "$n" rollout restart "$k/$m" </dev/null; done'
            )
        # pkg/controller/serviceaccount/tokens_controller.go, `secretUpdateNeeded`: where ca.crt is not the
        # root CA's.
        yield "# legacy token Secrets contain the CA too; the controller manager updates it"
        yield f"{kubectl} get secret -A --field-selector type=kubernetes.io/service-account-token"
        yield (
            "# webhooks, aggregated API servers and conversions, each with the CAs in its caBundle: those of "
            f"this cluster must be {_TRUSTS[self._step]} (NAME and the number are to be filled in)"
        )
        yield f"{kubectl} get {_WITH_CA_BUNDLE} -o go-template='{_CA_BUNDLES}' | {_SHOW_CA_BUNDLES}"
        value = f'\\"value\\":\\"$(base64 -w0 {self._bundle})\\"'
        for kind, path in _CA_BUNDLE_PATHS:
            patch = f'[{{\\"op\\":\\"replace\\",\\"path\\":\\"{path}\\",{value}}}]'
            yield f'{kubectl} patch {kind} NAME --type=json -p "{patch}"'
        if self._step is RotationStep.PROMOTE:
            # At `promote`, when the new CA signs: requested before, they would be of the old one again.
            yield "# certificates that the previous CA signed by requests: request each again before `finish`"
            yield f"{kubectl} get certificatesigningrequests -o wide"

    def _published_to_extensions(self) -> list[str]:
        """The CAs by which aggregated API servers verify clients: those of people and the front proxy's."""
        kubectl = f"{self._kubectl} -n kube-system"
        name = "extension-apiserver-authentication"
        rotations, judged = self._inventory.rotations, []
        for ca, key in ((CA.KUBERNETES, "client-ca-file"), (CA.FRONT_PROXY, "requestheader-client-ca-file")):
            if ca_id(ca) in self._identifiers:
                judged.append((key, 1 if rotations.phase(ca_id(ca)) is Phase.STABLE else 2))
        lines = ["in the cluster, once every API server has the new files:"]
        if any(wanted == 1 for _, wanted in judged):
            # clusterauthenticationtrust (pkg/controlplane) writes the union of what is there and its own
            lines += [
                "# API servers only add to it; once it is deleted, they write it again within a minute",
                f"{kubectl} delete configmap {name}",
            ]
        for key, wanted in judged:
            lines += [
                f"# the CAs that aggregated API servers verify clients by ({key}); it must count {wanted}",
                f"{kubectl} get configmap {name} -o jsonpath='{{.data.{key}}}' | grep -c 'BEGIN CERTIFICATE'",
            ]
        return [*lines, "# every one of them must answer", f"{self._kubectl} get apiservices"]

    def _service_accounts(self) -> list[str]:
        """What others who verify tokens must see before the step after this one."""
        kubectl = self._kubectl
        both = "both must be there" if self._inventory.rotations.phase(SA) is not Phase.STABLE else "one key"
        lines = [
            "in the cluster, once every API server has restarted:",
            f"# the keys by which others verify tokens: {both}; they may remember them for an hour",
            f"{kubectl} get --raw /openid/v1/jwks",
        ]
        if self._step is RotationStep.PROMOTE:
            longest = self._spec.service_accounts.max_token_lifetime
            lines += [
                f"# tokens of the previous key may be valid until {self._now + longest:%Y-%m-%d %H:%M} UTC,",
                "# and longer by the time that an API server restarts later; `finish` comes after that",
                # By the same function: a Secret whose token is empty gets a new one, of the key that signs
                # now.
                "# legacy token Secrets: emptied ones are signed again; fetch them again",
                (
                    f"{kubectl} get secret -A --field-selector type=kubernetes.io/service-account-token "
                    "--no-headers -o custom-columns=N:.metadata.namespace,M:.metadata.name | "
                    f'while read -r n m; do {kubectl} -n "$n" patch secret "$m" --type=json '
                    """-p '[{"op":"remove","path":"/data/token"}]' </dev/null; done"""
                ),
                "# tokens that were written to files (CI, other clusters) must be issued again",
            ]
        return lines

    # -- what comes next ------------------------------------------------------------------------------

    def _afterwards(self) -> list[str]:
        phase = self._inventory.rotations.phase(self._identifiers[0])
        first, *more = (COMMANDS[identifier] for identifier in self._identifiers)
        command = " ".join(["pkigen rotate", first, *(each.removeprefix("ca ") for each in more)])
        lines = ["when every node is done:"]
        if phase is Phase.STABLE:
            lines.append("nothing more is to be done")
        else:
            lines.append(f"forward: {command} --phase {NEXT_STEP[phase]}")
            lines.append(f"back:    {command} --phase rollback")
        if self._step is RotationStep.FINISH:
            lines.append("the previous generation is archived in .pkigen/backups; `pkigen rollback --list`")
            lines.append("`pkigen rollback` restores it as it was after `promote`: copy and restart as there")
        return lines


def _on_node(path: str, node: str) -> str:
    return path.removeprefix(f"{layout.NODES}/{node}")


def _grouped(changed: Mapping[str, Sequence[str]]) -> dict[tuple[str, ...], list[str]]:
    """Nodes by the files that change on them."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for node in sorted(changed):
        groups.setdefault(tuple(sorted(changed[node])), []).append(node)
    return groups
