"""What to do with a denoiser besides sampling: each task wraps it, or is another plan or start.

inpainting    known_region, repaint       fill in what is not known of an image
editing       last_part, noised           from an image part of the way to noise, and back
inversion     invert                      the noise that an image comes from
latents       slerp, variance_preserving, perturbed    between two noises, and near one
conditions    area_average, enlarged, low_resolution, concatenated    an image as a condition
"""

from .conditions import area_average, concatenated, enlarged, low_resolution
from .editing import last_part, noised
from .inpainting import known_region, repaint
from .inversion import invert
from .latents import perturbed, slerp, variance_preserving

__all__ = [
    "area_average",
    "concatenated",
    "enlarged",
    "invert",
    "known_region",
    "last_part",
    "low_resolution",
    "noised",
    "perturbed",
    "repaint",
    "slerp",
    "variance_preserving",
]
