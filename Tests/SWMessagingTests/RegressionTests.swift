import SWIO
import SWMessaging
import SWTesting
import Synchronization
import Testing
