"""The JSON Schema for editors."""

from __future__ import annotations

import re

from pkigen.spec.json_schema import json_schema


def test_the_schema_is_for_what_people_write() -> None:
    schema = json_schema()
    assert schema["required"] == ["apiVersion", "kind", "metadata", "spec"]
    assert "kubernetesVersion" in schema["$defs"]["Spec"]["properties"]
    assert schema["$defs"]["Node"]["additionalProperties"] is False


def test_the_schema_says_of_each_field_what_the_source_says() -> None:
    schema = json_schema()
    networking = schema["$defs"]["Networking"]["properties"]
    assert networking["dnsDomain"]["description"] == "The cluster's DNS suffix."
    # Written in the class that the API server shares with the other components.
    assert schema["$defs"]["APIServer"]["properties"]["extraArgs"]["description"]


def test_the_schema_describes_every_field() -> None:
    schema = json_schema()
    fields = {
        f"{name}.{key}": field
        for name, definition in {**schema["$defs"], "ClusterSpec": schema}.items()
        for key, field in definition.get("properties", {}).items()
    }
    assert len(fields) > 100
    assert [name for name, field in fields.items() if not field.get("description")] == []


def test_the_defaults_of_the_schema_are_what_it_asks_for() -> None:
    fields = {
        name: field
        for definition in json_schema()["$defs"].values()
        for name, field in definition.get("properties", {}).items()
        if "pattern" in field and "default" in field
    }
    assert fields["startupTimeout"]["default"] == "4m"
    for name, field in fields.items():
        assert re.search(field["pattern"], field["default"]), name
