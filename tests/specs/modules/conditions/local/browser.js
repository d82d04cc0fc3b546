export default "browser condition";
