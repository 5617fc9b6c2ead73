# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""The networks by name, and where each family's published weights are, under which licence.

Imports nothing heavy: the command line lists these before torch is loaded.
"""
from dataclasses import dataclass

from stm_ros.vision.errors import InputError

NETWORK_NAMES = ('stm_lite', 'stm', 'stcn')
#: of the weights that ship for stm_lite, those that are taken where nobody names any
DEFAULT_WEIGHTS = 'permissive'


@dataclass(frozen=True)
class PublishedWeights:
    """Weights that their authors publish; none of them is part of this package.

    name: what `stm weights fetch` calls them. file: a name for the copy. url: answers with the
    file itself. page: for people, where the address and the licence are stated. sha256: of the
    file, None where its authors state none.
    """

    name: str
    network: str
    file: str
    url: str
    page: str
    licence: str
    about: str
    sha256: str | None = None

    @property
    def where(self) -> str:
        """A sentence on how to get them."""
        return (f'the weights {self.name!r} ({self.licence}; {self.about}) are at {self.page}: '
                f'`stm weights fetch {self.name}`, or download {self.file} yourself')


PUBLISHED = (
    PublishedWeights(
        'stm', 'stm', 'STM_weights.pth',
        'https://www.dropbox.com/s/mtfxdr93xc3q55i/STM_weights.pth?dl=1',
        'https://github.com/seoungwugoh/STM', 'CC BY-NC-SA 4.0: no commercial use',
        'Oh et al., ICCV 2019'),
    PublishedWeights(
        'stcn', 'stcn', 'stcn.pth',
        'https://drive.usercontent.google.com/download?export=download&confirm=t'
        '&id=1mRrE0uCI2ktdWlUgapJI_KmgeIiF2eOm',
        'https://github.com/hkchengrex/STCN', 'MIT',
        'Cheng et al., NeurIPS 2021, trained on stills, BL30K and video'),
    PublishedWeights(
        'stcn_s03', 'stcn', 'stcn_s03.pth',
        'https://drive.usercontent.google.com/download?export=download&confirm=t'
        '&id=1JllXPJZola0G-g1aUQfXe9nLMBioj-aH',
        'https://github.com/hkchengrex/STCN', 'MIT',
        'Cheng et al., NeurIPS 2021, trained on stills and video'))


def published(name: str) -> PublishedWeights:
    """The published weights of a name.

    :raises InputError: where there are none.
    """
    for item in PUBLISHED:
        if item.name == name:
            return item
    raise InputError(f'no weights are published under the name {name!r}; known are '
                     f'{", ".join(item.name for item in PUBLISHED)}')
