// SWCoding has the options of the coders, which MessagePack shares. It is exported, so one import is enough.
@_exported public import SWCoding
