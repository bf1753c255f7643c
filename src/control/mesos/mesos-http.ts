/** HTTP clients for Mesos, with the certificates and credentials in the section `mesos`. */
import type { Log } from '../../base/log.ts'
import type { Mesos } from '../../config/config.ts'
import type { TlsOptions } from '../../http/call.ts'
import type { Http } from '../../http/client.ts'
import type { Logins } from '../../http/iam-login.ts'
import { securedHttp, tlsReader, type SecuredOptions } from '../../http/secured.ts'

type Section = Pick<Mesos, 'tls' | 'auth'> | undefined

const options = (log: Log): SecuredOptions => ({
  key: file => `mesos.${file}`,
  log,
  now: Date.now,
})

/** Whether any key of mesos.tls is set. */
export const speaksTls = (mesos: Section): boolean =>
  mesos !== undefined && Object.values(mesos.tls).some(value => value !== '' && value !== false)

/** A separate client for each part, which must close it; parts with the same `logins` log in once. */
export const mesosHttp = (mesos: Section, log: Log, logins: Logins = new Map()): Http =>
  securedHttp(
    { tls: speaksTls(mesos) ? mesos?.tls : undefined, auth: mesos?.auth },
    { ...options(log), logins },
  )

/** Only the certificates, for ZooKeeper. */
export const mesosTls = (mesos: Section, log: Log): (() => TlsOptions) =>
  mesos && speaksTls(mesos) ? tlsReader(mesos.tls, options(log)) : () => ({})
