// import ... from '../common/index.mjs'
import common from "../common";

export const {
  allowGlobals, canCreateSymLink, enoughTestMem, expectsError, expectWarning, getArrayBufferViews, getBufferSources, getCallSite,
  hasCrypto, hasFipsCrypto, hasIntl, hasIPv6, hasMultiLocalhost, hasOpenSSL, hasOpenSSL3, hasQuic, isAIX, isAlive, isDumbTerminal,
  isFreeBSD, isIBMi, isLinux, isLinuxPPCBE, isMainThread, isOpenBSD, isMacOS, isOSX, isSunOS, isWindows, localIPv6Hosts, mustCall,
  mustCallAtLeast, mustNotCall, mustNotMutateObjectDeep, mustSucceed, opensslCli, parseTestFlags, platformTimeout,
  runWithInvalidFD, skip, skipIf32Bits, skipIfDumbTerminal, skipIfEslintMissing, skipIfInspectorDisabled,
} = common;
export default common;
