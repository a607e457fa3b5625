"""The cache: what is kept between runs in one folder, computed or downloaded once and found by what it depends on.

    HASH/       a partition of activations, see `data.cache.activations`
    facts/      image statistics, see `data.cache.image_statistics`
    sources/    downloaded and extracted archives, see `data.cache.archives`

`data.cache.cache` chooses the folder. Processes need no coordination, and any file may be removed at any time: what is
missing is computed or downloaded again.
"""
