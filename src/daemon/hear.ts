/** Handles the data thread's own messages: addresses that it has bound or cannot bind, and lines for the log. */
import type { Up } from '../boundary/messages.ts'
import type { Readiness } from './readiness.ts'
import type { SelfView } from './self-view.ts'

export const hear = (message: Up, readiness: Readiness, log: SelfView['log']): void => {
  switch (message.type) {
    case 'listening': {
      const { address, port, transport, inherited } = message
      readiness.bound(message)
      const how = inherited ? { inherited } : {}
      return log('info', 'listening', { address, port, transport, ...how })
    }
    case 'bindFailed': {
      const { address, port, transport, error } = message
      return log('warn', 'cannot bind, will try again', { address, port, transport, err: error })
    }
    case 'log':
      return log(message.level, message.msg, message.fields)
    default:
  }
}
