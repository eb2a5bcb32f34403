#pragma once
struct VendorStream;
