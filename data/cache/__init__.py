"""What is kept between runs, in one folder: computed or fetched once, and found again by what it depends on.

    HASH/       a partition of activations, see `data.cache.activations`
    facts/      image statistics, see `data.cache.image_statistics`
    sources/    downloaded and extracted archives, see `data.cache.archives`

`data.cache.cache` says which folder that is. Processes need not know of each other, and any of the files may be removed at
any time: what is missing is made again.
"""
