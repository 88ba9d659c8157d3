"""The public names, pinned: a change here is a change for everyone."""

import tts


def test_public_names():
    assert sorted(tts.__all__) == sorted(
        """AStar AdaptiveSampling Allocation Answer AsyncBeam BeamSearch BestOfN BestScore
        BetaStopping Budget ByDifficulty Candidate Capability DVTS DeepConf EarlyRejection
        FirstAccepted FirstFinish Fixed GlimpRouter Greedy Judge
        LastFinish Likelihood Majority PRM ParticleFilter Problem Request Result Sampling
        Score SelfConsistency SpecReason Stepper Structure Thinking Trajectory Usage WeightedBestOfN
        WeightedVote __version__ derive errors solve solve_all""".split()
    )
    assert all(hasattr(tts, name) for name in tts.__all__)
