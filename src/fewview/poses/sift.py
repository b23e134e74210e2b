"""SIFT features of photos and their matches in every pair, by pycolmap on the CPU."""

from fewview.poses.working import Progress, Working, load_pycolmap, tell_focal, verification

SMALL = 1000  # px: features of smaller photos are sought in a doubled picture too
MOST_FEATURES = 4096  # a photo; the time of matching grows with the square


def fill(work: Working, threads: int, report: Progress) -> None:
    """The database of working photos, with verified matches."""
    pycolmap = load_pycolmap()
    extraction = pycolmap.FeatureExtractionOptions(num_threads=threads)
    extraction.sift.max_num_features = MOST_FEATURES
    extraction.sift.first_octave = -1 if max(map(max, work.sizes)) < SMALL else 0
    matching = pycolmap.FeatureMatchingOptions(num_threads=threads)
    where = dict(device=pycolmap.Device.cpu)
    report("finding features", 0)
    with work.quiet():
        mode = pycolmap.CameraMode.PER_FOLDER
        pycolmap.extract_features(
            work.database, work.images, camera_mode=mode,
            reader_options=work.reader(), extraction_options=extraction, **where,
        )  # fmt: skip
        tell_focal(work)
    report("finding features", 1)
    report("matching photos", 0)
    with work.quiet():
        pycolmap.match_exhaustive(
            work.database, matching_options=matching, verification_options=verification(), **where
        )
    report("matching photos", 1)
