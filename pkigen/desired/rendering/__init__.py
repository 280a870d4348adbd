"""Typed context and Jinja2 template to kubeconfigs, manifests, unit files and flag files."""

from pkigen.desired.rendering.renderer import Renderer
from pkigen.desired.rendering.templates import template_directory

__all__ = ["Renderer", "template_directory"]
