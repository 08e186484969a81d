@_exported public import SWMessaging
@_exported public import SWPickle
