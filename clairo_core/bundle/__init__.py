"""The versioned folder that training writes and the service loads. Start at `bundle.load_bundle`.

`manifest` reads what a bundle says of itself without loading it.
"""
