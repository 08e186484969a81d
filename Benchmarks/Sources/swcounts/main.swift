print("swcounts")
