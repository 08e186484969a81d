// The options of the coders, which MessagePack's have too: one import serves.
@_exported public import SWCoding
