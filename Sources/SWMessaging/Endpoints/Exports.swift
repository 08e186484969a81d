// Who uses endpoints uses framings, descriptors and their errors: one import serves.
@_exported public import SWFraming
@_exported public import SWIO
