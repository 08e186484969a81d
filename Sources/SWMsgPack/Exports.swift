// The options of the coders belong to their public face.
@_exported public import SWCoding
