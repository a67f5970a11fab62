import { answer, type Call } from './handlers.ts'

process.on('message', call => process.send?.(answer(call as Call)))
