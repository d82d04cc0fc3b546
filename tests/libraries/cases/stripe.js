import Stripe from "stripe";
export default async () => {
  const stripe = new Stripe("sk_test_1", { httpClient: Stripe.createFetchHttpClient() });
  const payload = JSON.stringify({ id: "evt_1", object: "event", type: "ping" });
  const secret = "whsec_test";
  const provider = Stripe.createSubtleCryptoProvider();
  const header = await stripe.webhooks.generateTestHeaderStringAsync({ payload, secret, cryptoProvider: provider });
  const event = await stripe.webhooks.constructEventAsync(payload, header, secret, undefined, provider);
  const bad = await stripe.webhooks.constructEventAsync(payload, header, "whsec_other", undefined, provider).catch((error) => error.type);
  return [event.type, bad];
};
export const expected = ["ping", "StripeSignatureVerificationError"];
