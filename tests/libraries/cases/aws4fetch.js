import { AwsV4Signer } from "aws4fetch";
export default async () => { const signer = new AwsV4Signer({ url: "https://s3.us-east-1.amazonaws.com/b/k", accessKeyId: "AKID", secretAccessKey: "SECRET", datetime: "20260101T000000Z", signQuery: true }); const { url } = await signer.sign(); return [url.searchParams.get("X-Amz-Algorithm"), url.searchParams.get("X-Amz-Signature").length]; };
export const expected = ["AWS4-HMAC-SHA256", 64];
