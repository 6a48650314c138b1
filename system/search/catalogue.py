"""The shop's items: the same ids and titles as those that purchases are made of, with a text to be found by.

Made here a second time because services share no code; a test compares the two.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

KINDS = {
    "Running Shoes": "Cushioned footwear for jogging on roads and paths.",
    "Hiking Boots": "Sturdy footwear for long walks in the mountains.",
    "Rain Jacket": "Waterproof outerwear that keeps you dry in a storm.",
    "Camping Tent": "Shelter for sleeping outdoors, pitched in minutes.",
    "Espresso Machine": "Brews strong coffee under pressure, with steam for milk.",
    "Chef's Knife": "A sharp all-purpose blade for chopping and slicing.",
    "Cast Iron Pan": "Heavy skillet for searing and baking that lasts for generations.",
    "Desk Lamp": "Adjustable light for reading and working at night.",
    "Office Chair": "Seat with back support for long working days.",
    "Mechanical Keyboard": "Typing with a tactile click, key by key.",
    "Noise Cancelling Headphones": "Silence for travel and music without distraction.",
    "Bookshelf Speaker": "Compact stereo sound for the living room.",
    "Mystery Novel": "A detective, a murder, and a secret to be uncovered.",
    "Cookbook": "Recipes for every day, explained step by step.",
    "Board Game": "An evening of strategy and fun for family and friends.",
    "Jigsaw Puzzle": "A picture in a thousand pieces, to be put together with patience.",
    "Yoga Mat": "Non-slip surface for stretching and exercise at home.",
    "Road Bike Helmet": "Light head protection for cycling.",
    "Garden Shears": "For trimming hedges and pruning bushes.",
    "Watercolour Set": "Pigments and brushes for painting.",
}
MAKES = {
    "Alder": "A good choice for beginners.",
    "Birch": "Made of recycled materials.",
    "Cedar": "Made by hand in a small workshop.",
    "Dune": "In warm sand colours.",
    "Ember": "In bright red.",
    "Fjord": "A minimal Nordic design.",
    "Grove": "For children.",
    "Harbour": "Resists salt and water.",
    "Indigo": "In deep blue.",
    "Juniper": "Small and easy to carry.",
    "Kestrel": "As light as can be, for professionals.",
    "Larch": "At a low price.",
    "Meadow": "With a pattern of flowers.",
    "Nimbus": "In soft grey.",
    "Opal": "A luxurious gift.",
    "Pine": "With a guarantee of ten years.",
    "Quartz": "In white.",
    "Ridge": "Extra tough.",
    "Saffron": "In yellow.",
    "Tundra": "For the cold season.",
}


@dataclass(frozen=True)
class Item:
    id: str
    title: str
    text: str


def items() -> Iterator[Item]:
    pairs = ((kind, make) for kind in KINDS for make in MAKES)
    for number, (kind, make) in enumerate(pairs, 1):
        yield Item(f"item-{number:03}", f"{make} {kind}", f"{KINDS[kind]} {MAKES[make]}")
