// go-plugin's gRPC protocol as the core drives it. Loaded when a version of its kinds has been agreed on.

import type { ProtocolDriver } from 'plugwire/driver'
import { converse } from './driver/host.ts'
import { serve } from './driver/plugin.ts'

export const driver: ProtocolDriver = { converse, serve }
