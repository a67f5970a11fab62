import { createBirpc } from 'birpc'
import { handlers } from './handlers.ts'

createBirpc(handlers, { post: message => process.send?.(message), on: listener => process.on('message', listener), timeout: -1 })
