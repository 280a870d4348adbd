"""Typed context and Jinja2 template to kubeconfigs, manifests, unit files and flag files."""

from pkigen.rendering.renderer import Renderer
from pkigen.rendering.templates import template_directory

__all__ = ["Renderer", "template_directory"]
