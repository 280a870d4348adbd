from tests.cli.conftest import made, pkigen, spec, tree

__all__ = ["made", "pkigen", "spec", "tree"]
