/**
 * The HTTP client for masters, with certificates and credentials from Mesos-DNS's own keys (see http/secured.ts).
 */
import {
  securedHttp,
  securityTroubles,
  type SecuredOptions,
  type Security,
} from '../http/secured.ts'
import type { Http } from '../http/client.ts'
import { fail } from '../base/error.ts'
import type { Log } from '../base/log.ts'
import type { Settings } from './settings.ts'

const KEYS = {
  'tls.ca': 'caCertFile',
  'tls.cert': 'certFile',
  'tls.key': 'keyFile',
  'auth.basic': 'mesosCredentials',
  'auth.token': 'mesosCredentials',
  'auth.iam': 'iamConfigFile',
} as const

const securityOf = (settings: Settings): Security => {
  const { caCertFile, certFile, keyFile, authentication, principal, secret } = settings
  return {
    tls: { ca: caCertFile, cert: certFile, key: keyFile, insecure: settings.mesosHttpsInsecure },
    ...(authentication === 'basic' ? { principal: { principal, secret } } : {}),
    ...(authentication === 'iam'
      ? { auth: { basic: '', token: '', iam: settings.iamConfigFile } }
      : {}),
  }
}

/** The client for the masters. Throws ECONFIG with `key` if a file is unusable now. */
export const mastersHttp = (settings: Settings, log: Log, now: () => number = Date.now): Http => {
  const security = securityOf(settings)
  const options: SecuredOptions = { key: file => KEYS[file], log, now }
  const [trouble] = securityTroubles(security, options)
  if (trouble) {
    const { key, problem } = trouble
    throw fail(problem, 'ECONFIG', { key, reason: problem })
  }
  return securedHttp(security, options)
}
