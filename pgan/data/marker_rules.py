"""Which spots of a radiograph are marks: by edge, contrast, size, evenness and place.

Lengths are in 1/512 of the long side, like those of a Spot; contrasts are in shares of the image's
own range of grey values. `markers` says what marks are.
"""

from collections.abc import Callable, Iterable

from pgan.data.marker_spots import CHEST, OUTSIDE, Spot, gap


class Judge:
    """Tells marks from other spots.

    Attributes:
      span: range of the image's grey values, between its 2nd and 98th percentile.
      unit: pixels of the working image in 1/512 of the full working size.
    """

    def __init__(self, span: float, unit: float):
        self.span, self.unit = span, unit
        self.coarse = unit < 0.7  # strokes are one pixel wide, and edges lose sharpness

    def marks(self, bright: list[Spot], dark: list[Spot]) -> list[Spot]:
        """All spots that are marks or belong to one, of those that `find_spots` gives."""
        rules = (self._is_outlined, self._is_plate, self._is_letter, self._is_ball, self._is_in_air)
        own = [spot for spot in bright if self._has_size(spot) and _any(rules, spot)]
        leaders = [spot for spot in own if not self._is_ball(spot)]
        rows = self._rows([spot for spot in bright if self._is_ink(spot)])
        rules = (self._is_black_box, self._is_dark_writing, self._is_dark_letter)
        own_dark = [spot for spot in dark if _any(rules, spot)]
        written = [spot for spot in own_dark if self._is_dark_writing(spot)]
        beside = self._beside(bright, leaders + rows) + self._beside(dark, written)
        return own + rows + beside + own_dark

    def _has_size(self, spot: Spot) -> bool:
        if spot.at_border and (spot.short < 8 or spot.long < 16):
            return False  # corners of the collimator, ends of wires
        return 7 <= spot.long <= 170 and spot.short <= 46 and spot.long <= 9 * spot.short

    def _is_burned_in(self, spot: Spot) -> bool:
        """As bright as anything in the image, with a clean edge."""
        clean = spot.sharp_low > (0.5 if self.coarse else 0.8)
        return spot.saturated and spot.contrast > 0.25 * self.span and clean

    def _is_outlined(self, spot: Spot) -> bool:
        """White writing with a black outline, anywhere."""
        return (
            self._is_burned_in(spot)
            and spot.outline > 0.12 * self.span
            and spot.weakest > 0
            and spot.sharp_low > 0.9
            and spot.short >= 2.5
        )

    def _is_plate(self, spot: Spot) -> bool:
        """White box with text, arrow, heavy letter: even, and as bright as anything."""
        if spot.zone == CHEST or spot.short < 7 or spot.slope >= 0.1:
            return False
        if spot.full > 0.88 and spot.saturated and spot.weakest > 0.08 * self.span:
            return self._is_burned_in(spot) or spot.sharp_low > 0.9
        if spot.long >= 6 * spot.short:
            return False
        sharp = spot.sharp_low > (0.75 if self.coarse else 0.9)
        pure = spot.saturated and spot.spread < 0.16 and sharp
        if pure and spot.long >= 14 and spot.weakest > 0.06 * self.span:
            return True
        return self._is_burned_in(spot) and spot.weakest > 0.1 * self.span

    def _is_sharp(self, spot: Spot) -> bool:
        """Even, sharp all around, outside of the chest, and no tip of a ridge."""
        if spot.zone != OUTSIDE or spot.spread > 0.38:
            return False
        if spot.kind == "height" and spot.headroom < 0.4:
            return False
        if self.coarse and spot.contrast > 0.25 * self.span:
            return spot.sharp > 0.76 and spot.sharp_low > 0.45
        return spot.sharp > 0.88 and spot.sharp_low > 0.65

    def _is_letter(self, spot: Spot) -> bool:
        """Lead letter, or letters joined to a word."""
        if not self._is_sharp(spot):
            return False
        if self._is_burned_in(spot) and spot.weakest > 0.1 * self.span:
            return spot.long < 6 * spot.short
        word = spot.full > 0.45 and spot.sharp_low > 0.9 and 8 <= spot.short <= 20
        if spot.long > 5 * spot.short and not word:
            return False
        clean = spot.kind != "grey" and spot.sharp_low > 0.95
        if clean and spot.long >= 14 and spot.reach > 0.5 and spot.weakest > 6:
            return True  # on a ground so bright that little contrast is left
        return (
            spot.kind != "depth"
            and (spot.kind == "height" or spot.headroom > 0.3)
            and spot.long >= 10
            and spot.full > 0.28
            and spot.contrast > 0.15 * self.span
            and spot.weakest > 0.1 * self.span
            and spot.reach > (0.55 if spot.compact > 0.88 else 0.4)
        )

    def _is_ball(self, spot: Spot) -> bool:
        """Ball of an upright position, or plate of lead with the letter cut out."""
        return (
            self._is_sharp(spot)
            and spot.kind == "height"
            and spot.short >= 16
            and spot.long < 2.7 * spot.short
            and spot.compact > 0.95
            and spot.full > 0.6
            and spot.contrast > 0.09 * self.span
            and spot.weakest > 0.06 * self.span
            and spot.reach > 0.27
            and spot.sharp_low > 0.8
            and spot.spread < 0.3
        )

    def _is_in_air(self, spot: Spot) -> bool:
        """Faint letter on the black beside the body."""
        return (
            self._is_sharp(spot)
            and spot.kind == "height"
            and spot.contrast > 0.25 * self.span
            and spot.weakest > 0.95 * spot.contrast
            and spot.reach > 0.25
            and spot.sharp > 0.93
            and spot.sharp_low > 0.9
            and spot.compact < 0.86
            and spot.full > 0.3
            and 12 <= spot.long <= 40
            and spot.long < 2.5 * spot.short
        )

    def _is_ink(self, spot: Spot) -> bool:
        """Could be a letter in a row."""
        return (
            spot.zone != CHEST
            and 3 <= spot.short <= 24
            and spot.long <= 100
            and spot.sharp > 0.9
            and spot.sharp_low > 0.85
            and self._stands_out(spot)
            and spot.spread < 0.5
        )

    def _stands_out(self, spot: Spot) -> bool:
        if spot.reach > 0.65 and spot.sharp_low > 0.95 and spot.weakest > 0.06 * self.span:
            return True  # on bright tissue
        strong = spot.contrast > 0.25 * self.span and spot.weakest > 0.15 * self.span
        return strong and spot.reach > 0.75

    def _rows(self, ink: list[Spot]) -> list[Spot]:
        """At least three letters of one size next to each other, or two with an outline."""
        cuts: dict[tuple[str, float], list[Spot]] = {}
        for spot in ink:
            cuts.setdefault((spot.kind, spot.level), []).append(spot)
        rows = []
        for left in cuts.values():
            while left:
                row = [left.pop()]
                for spot in row:
                    rest = [other for other in left if not self._are_alike(spot, other)]
                    row += [other for other in left if self._are_alike(spot, other)]
                    left[:] = rest
                letters = sum(max(1, round(s.long / s.short)) for s in row)
                outlined = all(s.outline > 0.1 * self.span for s in row)
                if len(row) > 1 and letters >= (2 if outlined else 3):
                    rows += row
        return rows

    def _are_alike(self, spot: Spot, other: Spot) -> bool:
        small, large = sorted((spot.short, other.short))
        return large < 1.8 * small and gap(spot, other) <= (0.9 * large + 1) * self.unit

    def _beside(self, bright: list[Spot], leaders: list[Spot]) -> list[Spot]:
        """Fainter and smaller letters beside those found, up to three steps away."""
        taken = {id(spot) for spot in leaders}
        pool = [s for s in bright if id(s) not in taken and self._may_follow(s)]
        found: list[Spot] = []
        for _ in range(3):
            new = [s for s in pool if any(self._follows(s, leader) for leader in leaders)]
            taken = {id(spot) for spot in new}
            pool = [spot for spot in pool if id(spot) not in taken]
            found += new
            leaders = new
        return found

    def _may_follow(self, spot: Spot) -> bool:
        return (
            (spot.zone != CHEST or spot.saturated)
            and spot.kind == "height"
            and 4 <= spot.long <= min(40, 6 * spot.short)
            and spot.sharp > 0.85
            and spot.sharp_low > 0.75
            and spot.spread < 0.45
            and spot.reach > 0.25
            and spot.headroom > 0.25
        )

    def _follows(self, spot: Spot, leader: Spot) -> bool:
        return (
            spot.contrast > 0.5 * leader.contrast
            and spot.long < 1.2 * leader.long + 2
            and spot.area < 1.5 * leader.area
            and gap(spot, leader) <= min(max(3, 0.5 * leader.long), 14) * self.unit
        )

    def _is_black_box(self, spot: Spot) -> bool:
        """Box of one black, with or without writing."""
        return (
            spot.zone != CHEST
            and spot.kind == "depth"
            and spot.full > 0.9
            and spot.slope < 0.1
            and 8 <= spot.short <= 46
            and spot.long <= 170
            and spot.contrast > 0.15 * self.span
            and spot.weakest > 0.1 * self.span
            and spot.sharp_low > (0.6 if self.coarse else 0.8)
        )

    def _is_dark_writing(self, spot: Spot) -> bool:
        """Black word, or white writing so small that its black outline is what is left."""
        clean = 0.75 if self.coarse else 0.9
        if spot.at_border or spot.kind != "height" or spot.sharp_low < clean:
            return False
        if spot.zone != OUTSIDE and spot.sharp > 0.9 and spot.weakest > 0.6 * self.span:
            return spot.long <= 110
        word = (
            spot.sharp > 0.93
            and 3 <= spot.short <= 16
            and 2.2 * spot.short <= spot.long <= 100
            and spot.contrast > 0.3 * self.span
            and spot.weakest > 0.15 * self.span
        )
        if word and spot.zone == OUTSIDE:
            # Air between arm and body is black too, but stands upright and is not as black.
            return spot.reach > 0.5 and spot.filled.shape[0] < spot.filled.shape[1]
        return word

    def _is_dark_letter(self, spot: Spot) -> bool:
        """Letter cut out of a bright plate."""
        return (
            spot.kind == "height"
            and not spot.at_border
            and spot.zone == OUTSIDE
            and 10 <= spot.long <= 40
            and spot.long < 2.5 * spot.short
            and spot.compact < 0.85
            and spot.sharp > 0.93
            and spot.sharp_low > 0.85
            and spot.weakest > 0.5 * self.span
        )


def _any(rules: Iterable[Callable[[Spot], bool]], spot: Spot) -> bool:
    return any(rule(spot) for rule in rules)
