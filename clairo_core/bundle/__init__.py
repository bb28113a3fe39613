"""The versioned folder that training writes and the service loads.

`write_bundle.write_bundle` takes trained parts, `load_bundle.load_bundle` gives them back as a `bundle.Bundle`;
`manifest` reads a bundle's metadata without loading it. Free of imports: the command line must not wait for torch.
"""
