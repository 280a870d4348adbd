"""What the model is made of: the base of its mappings, and the types of their fields."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetPydanticSchema,
    StrictInt,
    StrictStr,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import core_schema

from pkigen.notation import IPAddress, format_duration
from pkigen.spec import addresses, values
from pkigen.spec.addresses import IPNetwork
from pkigen.spec.values import KubernetesVersion, Percent

if TYPE_CHECKING:
    from collections.abc import Callable


class Strict(BaseModel):
    """A mapping of the spec: frozen, camelCase keys, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True,
        # A misspelt key would otherwise be a setting that is silently not made.
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        defer_build=True,  # the whole is built at its first use; each part by itself is never asked for
    )


def _read_by(
    read: Callable[[object], Any], *, write: Callable[[Any], str] = str, example: str, **schema: Any
) -> tuple[GetPydanticSchema, WithJsonSchema]:
    """A value that `read` alone makes and checks, and that is text where it is written."""
    serialization = core_schema.plain_serializer_function_ser_schema(write)
    validation = core_schema.no_info_plain_validator_function(read, serialization=serialization)
    return (
        GetPydanticSchema(lambda _source, _handler: validation),
        WithJsonSchema({"type": "string", **schema, "examples": [example]}),
    )


Line = Annotated[StrictStr, AfterValidator(values.parse_line)]
Text = Annotated[Line, Field(min_length=1, max_length=4096)]
CAName = Annotated[StrictStr, AfterValidator(values.parse_ca_name), Field(max_length=values.LONGEST_CA_NAME)]
DNSName = Annotated[StrictStr, AfterValidator(values.parse_dns_name)]
ClusterName = Annotated[StrictStr, Field(min_length=1), AfterValidator(values.parse_cluster_name)]
DNSLabel = Annotated[StrictStr, AfterValidator(values.parse_dns_label)]
NodeName = Annotated[StrictStr, AfterValidator(values.parse_node_name)]
PersonName = Annotated[StrictStr, Field(min_length=1), AfterValidator(values.parse_person)]
CertifiedName = Annotated[PersonName, AfterValidator(values.parse_certified_name)]
RoleName = Annotated[StrictStr, AfterValidator(values.parse_role_name), Field(max_length=253)]
UID = Annotated[StrictStr, AfterValidator(values.parse_uid)]
IAMARN = Annotated[StrictStr, AfterValidator(values.parse_iam_arn), Field(max_length=2048)]
AgeRecipient = Annotated[StrictStr, AfterValidator(values.parse_age_recipient)]
FlagName = Annotated[StrictStr, AfterValidator(values.parse_flag)]
EnvironmentName = Annotated[StrictStr, AfterValidator(values.parse_environment_name), Field(max_length=255)]
PlainValue = Annotated[Line, Field(max_length=4096)]
AbsolutePath = Annotated[StrictStr, AfterValidator(values.parse_absolute_path)]
HostPath = Annotated[StrictStr, AfterValidator(values.parse_host_path)]
MountPath = Annotated[StrictStr, AfterValidator(values.parse_mount_path)]
DirectoryPath = Annotated[StrictStr, AfterValidator(values.parse_directory)]
ImageRepository = Annotated[StrictStr, AfterValidator(values.parse_image_repository), Field(max_length=255)]
ImageTag = Annotated[StrictStr, AfterValidator(values.parse_image_tag)]
HostPort = Annotated[StrictStr, AfterValidator(addresses.parse_host_port)]
EndpointURL = Annotated[StrictStr, AfterValidator(addresses.parse_endpoint_url)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
SAN = Annotated[str, *_read_by(addresses.parse_san, example="api.internal")]
Address = Annotated[IPAddress, *_read_by(addresses.parse_host_address, example="10.0.0.11")]
Network = Annotated[IPNetwork, *_read_by(addresses.parse_network, example="10.96.0.0/12")]
Duration = Annotated[
    timedelta,
    *_read_by(
        values.parse_period,
        write=format_duration,
        pattern=r"^(\d+h)?(\d+m)?(\d+s)?$",
        example="8760h",
    ),
]
Share = Annotated[Percent, *_read_by(values.parse_share, pattern=r"^([0-9]|1[0-9]|2[0-5])%$", example="10%")]
Version = Annotated[KubernetesVersion, *_read_by(values.parse_version, example="v1.36.2")]
