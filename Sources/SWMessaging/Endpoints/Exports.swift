// Programs that use endpoints also use framings, descriptors and their errors, so one import is enough.
@_exported public import SWFraming
@_exported public import SWIO
