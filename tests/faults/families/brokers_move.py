"""Three brokers behind one bootstrap name come back elsewhere: at other ports, or with empty disks."""

from tests.faults.installations.moving_brokers import MovingEnvironment, moved_at_once, moved_in_turn
from tests.faults.installations.rounds import Described, make_family

_BUILD = MovingEnvironment.build_moving

FAMILY = make_family(
    "brokers_move",
    {
        "addresses change in turn": Described(
            moved_in_turn(empty=False), "each broker comes back at another port, one after the other", _BUILD
        ),
        "brokers replaced in turn": Described(
            moved_in_turn(empty=True), "the same with an empty disk, which the others fill again", _BUILD
        ),
        "all move at once": Described(
            moved_at_once(deaf=False), "all stop, and come back at other ports; the old ones refuse", _BUILD
        ),
        "all move, old ports deaf": Described(
            moved_at_once(deaf=True),
            "the same, and the old ports accept connections without an answer",
            _BUILD,
        ),
    },
    bound_seconds=360,
    quick=[("all move at once",)],
)
