// SWCoding has the options of the coders. It is exported, so one import is enough.
@_exported public import SWCoding
