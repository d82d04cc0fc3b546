// exports: SecureContext, createSecureContext, translatePeerCertificate
//
// node:_tls_common. Certificates and keys of TLS are the platform's: a context holds options, and changes nothing.

class SecureContextClass {
  constructor(options = undefined) {
    this.context = options ?? {};
  }
}

function SecureContext(options) {
  return new SecureContextClass(options);
}

module.exports = { SecureContext, createSecureContext: (options) => new SecureContextClass(options), translatePeerCertificate: (certificate) => certificate ?? null };
