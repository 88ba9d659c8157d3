"""The public names, pinned: a change here is a change for everyone."""

import tts


def test_public_names():
    assert sorted(tts.__all__) == sorted(
        """AStar Answer AsyncBeam BeamSearch BestOfN BestScore BetaStopping Budget Candidate
        Capability DVTS DeepConf EarlyRejection FirstFinish Fixed GlimpRouter Grade Greedy
        LastFinish Likelihood Majority PRM ParticleFilter Problem Request Result Sampling
        Score SelfConsistency SpecReason Stepper Thinking Trajectory Usage WeightedBestOfN
        WeightedVote __version__ derive errors solve solve_all""".split()
    )
    assert all(hasattr(tts, name) for name in tts.__all__)
